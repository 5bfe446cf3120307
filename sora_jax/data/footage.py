"""Read user files: any video or picture, at a given rate and size.

Frames are resized as they are decoded: memory holds only the target size.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from sora_jax import memory
from sora_jax.config import Fit, require
from sora_jax.config.plain import Number, require_fps, require_size
from sora_jax.data import arrays, decoding, pictures, video
from sora_jax.files import PathLike, quoted
from sora_jax.limits import LIMITS, Limits
from sora_jax.types import Clip

# Seconds: containers round times to thousandths or hundredths. A longer tick is the
# frame's duration, and exact.
COARSEST_TICK = 0.01
# Bytes of a pixel's channel: uint8 as read, plus float32 for the model.
BYTES = 4 + 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Footage:
    """A clip read from a file, with the file's properties, which its mask must match.

    Attributes:
      clip: at the requested rate and size.
      source_size: displayed (height, width) of the file.
      source_frames: frames in the file.
      source_seconds: duration of the file.
      picks: for each frame of the clip, its frame in the file, from 0.
    """

    clip: Clip
    source_size: tuple[int, int]
    source_frames: int
    source_seconds: float
    picks: tuple[int, ...]


@dataclasses.dataclass(kw_only=True)
class Reel:
    """Frames of a file resampled to another rate so far."""

    views: list[Any] = dataclasses.field(default_factory=list)
    picks: list[int] = dataclasses.field(default_factory=list)
    frames: int = 0
    seconds: float = 0.0
    size: tuple[int, int] = (0, 0)

    def extend(
        self, count: int, view: Callable[[Any], Any], shown: Any, most: Number
    ) -> None:
        """Repeat the newest frame up to `count` views in all, at most `most` + 1."""
        missing = int(min(count, most + 1)) - len(self.views)
        if missing > 0:
            self.views += [view(shown)] * missing
            self.picks += [self.frames - 1] * missing


def read_footage(
    path: PathLike,
    *,
    fps: Number,
    size: tuple[int, int],
    fit: Fit = "crop",
    field: str = "--video",
    limits: Limits = LIMITS,
    frames: int | None = None,
) -> Footage:
    """Read a video at a given rate and size.

    Frame i is the one displayed at time i / fps. The number of frames is the duration
    times fps, rounded, and at least 1.

    Args:
      path: a video file (`containers.DEMUXERS`), an animated WebP, or an `.npy` of
        `outputs`, which has no rate: its frames are used one by one; may be `gs://`.
      fps: frames per second of the clip.
      size: (height, width) of the clip.
      fit: how frames are resized, see `video.fit`.
      field: the flag or config field that error messages name.
      limits: on the size and duration of frames.
      frames: read at most this many; None reads all.

    Raises:
      ValueError: the file is missing, a picture, not a video, damaged, over the limits,
        or too long for memory.
    """
    require_fps(fps)
    require_size(size)
    named = f"{field} {quoted(path)}"
    require(
        not pictures.is_untimed(path, field=field),
        f"{named} is a picture, and a video is needed: give it as --image, or give "
        "another file",
    )
    room = memory.of_host() * min(1, limits.clip_memory)
    most = min(limits.frames, room / (BYTES * 3 * math.prod(size)))

    def view(shown: decoding.TimedFrame) -> UInt8[np.ndarray, "h w 3"]:
        pixels = video.to_float(shown.pixels())[None]
        return video.to_uint8(video.fit(pixels, *size, fit, shown=shown.size))[0]

    is_array = os.fspath(path).endswith(".npy")
    decoded = (
        arrays.array_frames(path, float(fps), field=field, limits=limits)
        if is_array
        else decoding.decode(path, field=field, limits=limits)
    )
    reel = at_rate(decoded, fps, view, most if frames is None else min(most, frames))
    require(
        len(reel.views) <= most,
        f"{named} is too long: at most {most:,.0f} frames ({most / fps:.0f} seconds) "
        f"of {size[1]}x{size[0]} at {fps:g} fps are taken; cut it"
        + ("" if is_array else ", for instance with 'ffmpeg -i IN -t SECONDS OUT.mp4'")
        + ", or lift the limits (--unlimited)",
    )
    return Footage(
        clip=Clip(pixels=np.stack(reel.views[:frames]), fps=float(fps)),
        source_size=reel.size,
        source_frames=reel.frames,
        source_seconds=reel.seconds,
        picks=tuple(reel.picks[:frames]),
    )


def read_image(
    path: PathLike,
    *,
    size: tuple[int, int],
    fit: Fit = "crop",
    field: str = "--image",
    limits: Limits = LIMITS,
) -> Float[np.ndarray, "1 h w 3"]:
    """Read a picture at a given size, in [-1, 1].

    Raises:
      ValueError: the file is missing, not an image, or damaged.
    """
    require_size(size)
    image = pictures.read_image(path, field=field, limits=limits)
    image = video.fit(image, *size, fit)
    return video.to_float(video.to_uint8(image))


def at_rate(
    frames: Iterable[decoding.TimedFrame],
    fps: Number,
    view: Callable[[decoding.TimedFrame], Any],
    most: Number = math.inf,
) -> Reel:
    """View the frames displayed at times i / fps; read at most `most` + 1."""
    require_fps(fps)
    reel, before = Reel(), None
    for shown in frames:
        if before is not None:
            slack = shown.tick / 2 if shown.tick <= COARSEST_TICK else 0.0
            # The last term exceeds the rounding errors of the sum, and is below a
            # frame.
            count = math.ceil((shown.begin - slack - 1e-6) * fps)
            reel.extend(count, view, before, most)
        if len(reel.views) > most:
            return reel
        before, reel.size = shown, shown.size
        reel.frames += 1
        reel.seconds = shown.begin + shown.length
    total = max(1, round(reel.seconds * fps))
    if before is not None:
        reel.extend(total, view, before, most)
    del reel.views[total:], reel.picks[total:]
    return reel

"""Read user files: any video, picture or mask, at a given rate and size.

Frames are resized as they are decoded: memory holds only the target size.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

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
class _Reel:
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
    reel = _at_rate(decoded, fps, view, most if frames is None else min(most, frames))
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


def read_mask(
    path: PathLike,
    footage: Footage,
    *,
    fps: Number,
    size: tuple[int, int],
    fit: Fit = "crop",
    field: str = "--mask",
    limits: Limits = LIMITS,
) -> Float[np.ndarray, "t h w"]:
    """Read the mask of given pixels: 1 where given, 0 where generated.

    Pixels lighter than mid grey are generated. A video with as many frames as the
    clip's file is matched frame by frame, another one of equal duration by time. Bars
    that `fit` adds are given.

    Args:
      path: a picture, used for every frame, or a video.
      footage: the clip.
      fps: as in reading the clip.
      size: as in reading the clip.
      fit: as in reading the clip.
      field: the flag or config field that error messages name.
      limits: as in reading the clip.

    Raises:
      ValueError: the file cannot be read, differs from the clip's file in size or
        duration, or leaves nothing to generate.
    """
    named, wanted = f"{field} {quoted(path)}", footage.source_size

    def is_target(
        frames: Float[np.ndarray, "f rows columns 3"], shown: tuple[int, int]
    ) -> Bool[np.ndarray, "f h w"]:
        require(
            shown == wanted,
            f"{named} is {shown[1]}x{shown[0]}, and the video {wanted[1]}x{wanted[0]}: "
            "make the mask as large as the video",
        )
        # Bars are exactly mid grey, and must not be generated.
        return video.fit(frames, *size, fit, shown=shown).mean(axis=-1) > 0

    if pictures.is_still(path, field=field):
        image = pictures.read_image(path, field=field, limits=limits)
        target = is_target(image, image.shape[1:3])
        target = np.repeat(target, len(footage.picks), axis=0)
    else:
        views = _moving_mask(path, footage, fps, is_target, field, limits)
        target = np.concatenate(views)
    require(
        bool(target.any()),
        f"{named} has no white inside the video, so nothing would be generated: "
        "paint the pixels to generate white",
    )
    return (~target).astype(np.float32)


def _moving_mask(
    path: PathLike,
    footage: Footage,
    fps: Number,
    is_target: Callable[[np.ndarray, tuple[int, int]], np.ndarray],
    field: str,
    limits: Limits,
) -> list[Bool[np.ndarray, "1 h w"]]:
    """Read which pixels are generated in each frame of a clip."""

    def view(shown: decoding.TimedFrame) -> np.ndarray:
        return is_target(video.to_float(shown.pixels())[None], shown.size)

    def frames() -> Iterator[decoding.TimedFrame]:
        return decoding.decode(path, field=field, limits=limits)

    # Two passes: how frames match the clip's depends on their number.
    count, seconds = 0, 0.0
    for shown in frames():
        count, seconds = count + 1, shown.begin + shown.length
    if count == footage.source_frames:
        wanted = set(footage.picks)
        views = {i: view(shown) for i, shown in enumerate(frames()) if i in wanted}
        return [views[index] for index in footage.picks]
    require(
        abs(seconds - footage.source_seconds) <= 1 / fps,
        f"{field} {quoted(path)} has {count} frames in {seconds:.3g} seconds, and the "
        f"video {footage.source_frames} in {footage.source_seconds:.3g}: give as many, "
        "or a picture, which serves every frame",
    )
    length = len(footage.picks)
    views = _at_rate(frames(), fps, view, length).views
    return (views + views[-1:] * length)[:length]


def _at_rate(
    frames: Iterable[decoding.TimedFrame],
    fps: Number,
    view: Callable[[decoding.TimedFrame], Any],
    most: Number = math.inf,
) -> _Reel:
    """View the frames displayed at times i / fps; read at most `most` + 1."""
    require_fps(fps)
    reel, before = _Reel(), None
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

"""People's own files: any video, picture or mask in, clips of one rate and size out.

A video stands in memory as small as it will be used, never at the size that its camera
gave it. Pixels are bytes as floats, so that known ones can come back unchanged.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import psutil
from jaxtyping import Bool, Float, UInt8

from sora_jax import memory
from sora_jax.config.plain import FPS, Number, require
from sora_jax.data import arrays, pictures, video
from sora_jax.files import PathLike
from sora_jax.types import Clip

# Seconds: containers that round times do so to thousandths or hundredths. A longer tick
# is the frame's own length, and exact.
COARSEST_TICK = 0.01
# Bytes of a pixel's channel while a video is read: a float and the byte that it was.
BYTES = 4 + 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Footage:
    """A video file as a clip, and what its mask must agree with.

    Attributes:
      clip: `to_float(to_uint8(pixels))` changes nothing.
      source_size: (height, width) of the file on a screen, upright.
      source_frames: how many there are in the file.
      source_seconds: how long it lasts, its last frame included.
      picks: which of the file's frames each frame of the clip is, from 0.
    """

    clip: Clip
    source_size: tuple[int, int]
    source_frames: int
    source_seconds: float
    picks: tuple[int, ...]


@dataclasses.dataclass(kw_only=True)
class _Reel:
    """What is made of a file's frames on the way to another rate."""

    views: list[Any] = dataclasses.field(default_factory=list)
    picks: list[int] = dataclasses.field(default_factory=list)
    frames: int = 0
    seconds: float = 0.0
    size: tuple[int, int] = (0, 0)

    def extend(self, count: int, view: Callable[[Any], Any], shown: Any) -> None:
        """Goes on with the newest frame until there are so many."""
        missing = count - len(self.views)
        if missing > 0:
            self.views += [view(shown)] * missing
            self.picks += [self.frames - 1] * missing


def read(
    path: PathLike,
    *,
    fps: Number,
    size: tuple[int, int],
    fit: video.Fit = "crop",
    field: str = "--video",
) -> Footage:
    """Reads a video at another rate and size.

    Frame i is the one that is on the screen at the time i / fps. There are as many as
    the file's seconds times fps, rounded, and at least one.

    Args:
      path: a file in any container FFmpeg reads, or an `.npy` as `outputs` writes it,
        which has no rate, so that its frames are taken one by one; may be `gs://`.
      fps: frames per second wanted.
      size: (height, width) wanted.
      fit: how the frames come to that size, see `video.fit`.
      field: the flag or config field that error messages name.

    Raises:
      ValueError: the file is missing, a picture, no video, damaged, or too long for the
        memory.
    """
    named = f"{field} {os.fspath(path)!r}"
    require(
        not pictures.is_still(path, field=field),
        f"{named} is a picture, and a video is needed: give it as --image, or give "
        "another file",
    )
    room = min(psutil.virtual_memory().available, memory.in_container())
    most = int(room / (BYTES * 3 * math.prod(size)))

    def view(shown: video.Shown) -> UInt8[np.ndarray, "h w 3"]:
        pixels = video.to_float(shown.pixels())[None]
        return video.to_uint8(video.fit(pixels, *size, fit, shown=shown.size))[0]

    is_array = os.fspath(path).endswith(".npy")
    frames = (
        arrays.frames_of(path, float(fps), field=field)
        if is_array
        else video.decode(path, field=field)
    )
    reel = _at_rate(frames, fps, view, most)
    require(
        len(reel.views) <= most,
        f"{named} is too long: the memory holds {most / fps:.0f} seconds of "
        f"{size[1]}x{size[0]} at {fps:g} fps; cut it, for instance with "
        "'ffmpeg -i IN -t SECONDS OUT.mp4'",
    )
    pixels = np.empty((len(reel.views), *size, 3), np.float32)
    for index, frame in enumerate(reel.views):
        pixels[index] = video.to_float(frame)
    return Footage(
        clip=Clip(pixels=pixels, fps=float(fps)),
        source_size=reel.size,
        source_frames=reel.frames,
        source_seconds=reel.seconds,
        picks=tuple(reel.picks),
    )


def read_image(
    path: PathLike,
    *,
    size: tuple[int, int],
    fit: video.Fit = "crop",
    field: str = "--image",
) -> Float[np.ndarray, "1 h w 3"]:
    """Reads a picture at another size, as bytes in [-1, 1].

    Raises:
      ValueError: the file is missing, not an image, or damaged.
    """
    image = video.fit(pictures.read_image(path, field=field), *size, fit)
    return video.to_float(video.to_uint8(image))


def read_mask(
    path: PathLike,
    footage: Footage,
    *,
    fps: Number,
    size: tuple[int, int],
    fit: video.Fit = "crop",
    field: str = "--mask",
) -> Float[np.ndarray, "t h w"]:
    """Reads which pixels of a clip are known (1), and which are made anew (0).

    What is lighter than mid grey is made anew. A video of as many frames as the clip's
    file goes with it frame by frame, another one of the same length by time. Bars,
    where `fit` makes some, are known.

    Args:
      path: a picture, which serves every frame, or a video.
      footage: the clip.
      fps: as in reading the clip.
      size: as in reading the clip.
      fit: as in reading the clip.
      field: the flag or config field that error messages name.

    Raises:
      ValueError: the file cannot be read, is of another size or length than the clip's,
        or leaves nothing to be made.
    """
    named, wanted = f"{field} {os.fspath(path)!r}", footage.source_size

    def is_made(
        frames: Float[np.ndarray, "f rows columns 3"], shown: tuple[int, int]
    ) -> Bool[np.ndarray, "f h w"]:
        require(
            shown == wanted,
            f"{named} is {shown[1]}x{shown[0]}, and the video {wanted[1]}x{wanted[0]}: "
            "make the mask as large as the video",
        )
        # Bars are exactly mid grey, and must not count.
        return video.fit(frames, *size, fit, shown=shown).mean(axis=-1) > 0

    if pictures.is_still(path, field=field):
        image = pictures.read_image(path, field=field)
        made = is_made(image, image.shape[1:3])
        made = np.repeat(made, len(footage.picks), axis=0)
    else:
        made = np.concatenate(_moving_mask(path, footage, fps, is_made, field))
    require(
        bool(made.any()),
        f"{named} has no white where the video is seen, so nothing would be made anew: "
        "paint white what is to be made",
    )
    return (~made).astype(np.float32)


def _moving_mask(
    path: PathLike,
    footage: Footage,
    fps: Number,
    is_made: Callable[[np.ndarray, tuple[int, int]], np.ndarray],
    field: str,
) -> list[Bool[np.ndarray, "1 h w"]]:
    """What is to be made of each frame of a clip."""

    def view(shown: video.Shown) -> np.ndarray:
        return is_made(video.to_float(shown.pixels())[None], shown.size)

    # Twice, since only the end tells how the frames go with the clip's.
    found = _at_rate(video.decode(path, field=field), fps, lambda shown: None)
    if found.frames == footage.source_frames:
        wanted = set(footage.picks)
        frames = enumerate(video.decode(path, field=field))
        views = {index: view(shown) for index, shown in frames if index in wanted}
        return [views[index] for index in footage.picks]
    require(
        abs(found.seconds - footage.source_seconds) <= 1 / fps,
        f"{field} {os.fspath(path)!r} has {found.frames} frames in {found.seconds:.3g} "
        f"seconds, and the video {footage.source_frames} in "
        f"{footage.source_seconds:.3g}: give as many, or a picture, which serves every "
        "frame",
    )
    views = _at_rate(video.decode(path, field=field), fps, view).views
    count = len(footage.picks)
    return (views + views[-1:] * count)[:count]


def _at_rate(
    frames: Iterable[video.Shown],
    fps: Number,
    view: Callable[[video.Shown], Any],
    most: Number = math.inf,
) -> _Reel:
    """Views the frames that are on the screen at times i / fps, and no others.

    Nothing more is read once there are more than `most`.
    """
    low, high = FPS
    require(
        low <= fps <= high, f"--fps must be from {low:.3g} to {high:.0f}, got {fps}"
    )
    reel, before = _Reel(), None
    for shown in frames:
        if before is not None:
            slack = shown.tick / 2 if shown.tick <= COARSEST_TICK else 0.0
            # The last summand is more than sums of floats err, and less than a frame.
            reel.extend(math.ceil((shown.begin - slack - 1e-6) * fps), view, before)
        if len(reel.views) > most:
            return reel
        before, reel.size = shown, shown.size
        reel.frames += 1
        reel.seconds = shown.begin + shown.length
    total = max(1, round(reel.seconds * fps))
    if before is not None:
        reel.extend(total, view, before)
    del reel.views[total:], reel.picks[total:]
    return reel

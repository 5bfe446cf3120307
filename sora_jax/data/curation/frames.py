"""Read a few frames of each clip of a file, small, in one pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from sora_jax.data import decoding, pictures, video
from sora_jax.data.curation import measures
from sora_jax.data.curation.samples import EvenSamples, at_shares
from sora_jax.data.curation.shots import Box, CuratedShot
from sora_jax.files import PathLike, quoted


def shot_frames(
    path: PathLike,
    shots: Sequence[CuratedShot],
    count: int,
    *,
    short_side: int,
    cropped: bool = True,
) -> Iterator[UInt8[np.ndarray, "t h w 3"]]:
    """Yield frames of each shot, from the middles of equal parts.

    Args:
      path: of the file; may be `gs://`.
      shots: of the file, in order.
      count: frames of a shot; shorter shots have fewer.
      short_side: pixels of the shorter side at most.
      cropped: leave black borders out.

    Raises:
      ValueError: the file cannot be read, or has fewer frames.
    """
    waiting = list(shots)
    frames: list[np.ndarray] = []
    for number, (pixels, shown) in enumerate(_frames(path)):
        if not waiting:
            return
        shot = waiting[0]
        wanted = _numbers(shot, count)
        if number in wanted:
            crop = shot.crop if cropped else None
            frames.append(_fitted(pixels(), shown, short_side, crop))
        if number == wanted[-1]:
            yield np.stack(frames)
            frames, waiting = [], waiting[1:]
    if waiting:
        raise ValueError(
            f"file {quoted(path)} has fewer frames than when it was curated: run "
            "`sora-jax data curate` again"
        )


def file_frames(
    path: PathLike, count: int, *, short_side: int
) -> tuple[UInt8[np.ndarray, "t h w 3"], float]:
    """Return frames of a file, from the middles of equal parts, and their rate.

    Args:
      path: of a picture or a video; may be `gs://`.
      count: of frames; shorter files have fewer.
      short_side: pixels of the shorter side at most.

    Returns:
      The frames, and how many of them there are a second; 0 of a picture.

    Raises:
      ValueError: the file cannot be read.
    """
    if pictures.is_still(path, field="file"):
        ((pixels, shown),) = _frames(path)
        return _fitted(pixels(), shown, short_side, None)[None], 0.0
    samples: EvenSamples[np.ndarray] = EvenSamples(4 * count)
    seconds = 0.0
    for frame in decoding.decode(path, field="file"):
        samples.add(lambda at=frame: _fitted(at.pixels(), at.size, short_side, None))
        seconds = frame.begin + frame.length
    taken = at_shares(samples.items, min(count, len(samples.items)))
    return np.stack(taken), len(taken) / seconds


def sampled_rate(shot: CuratedShot, frames: int) -> float:
    """Return how many sampled frames of a shot there are a second; 0 of a picture."""
    return frames / shot.scores.duration if shot.scores.duration else 0.0


def _numbers(shot: CuratedShot, count: int) -> list[int]:
    numbers = range(shot.start_frame, shot.stop_frame)
    return at_shares(numbers, min(count, shot.frames))


def _frames(path: PathLike) -> Iterator:
    """Yield (pixels, displayed size) of the frames of a picture or a video."""
    if not pictures.is_still(path, field="file"):
        for frame in decoding.decode(path, field="file"):
            yield frame.pixels, frame.size
        return
    picture = video.to_uint8(pictures.read_image(path, field="file")[0])
    yield lambda: picture, picture.shape[:2]


def _fitted(
    frame: np.ndarray, shown: tuple[int, int], short_side: int, crop: Box | None
) -> np.ndarray:
    crop = crop or Box(top=0, left=0, height=shown[0], width=shown[1])
    inside = measures.scaled(crop, (shown[0], shown[1]), frame.shape[:2])
    height, width = measures.within(crop.height, crop.width, short_side=short_side)
    part = np.ascontiguousarray(measures.cut(frame, inside))
    image = Image.fromarray(part).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)

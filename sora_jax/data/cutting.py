"""Cut a part out of an encoded clip, and encode it again."""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from sora_jax.data import animations, decoding, encoders, pictures, video
from sora_jax.files import PathLike

# Of WebP, for clips with alpha, which H.264 cannot store.
_ALPHA = {"quality": 95, "alpha_quality": 100, "method": 4}


class Cut(NamedTuple):
    """A part of a clip.

    Attributes:
      start: in seconds.
      stop: in seconds.
      top: first row, in pixels of the displayed size, as the others.
      left: first column.
      height: number of rows.
      width: number of columns.
    """

    start: float
    stop: float
    top: int
    left: int
    height: int
    width: int


def cut(source: bytes | PathLike, name: str, part: Cut, fps: float) -> bytes:
    """Return a part as an mp4 file, or as an animated WebP if it has alpha.

    Frames follow at a constant rate, are visually lossless, and have even sizes. Sound
    is left out.

    Args:
      source: path of a video file, of any size, or its content.
      name: of the clip, in errors.
      part: to cut out.
      fps: frames per second of the new file.

    Raises:
      ValueError: the file cannot be read, or has no such part.
    """
    if isinstance(source, bytes):
        shown = decoding.decode_bytes(source, name, keep_alpha=True)
    else:
        shown = decoding.decode(source, field="clip", keep_alpha=True)
    frames = _frames(shown, part, fps)
    first = next(frames, None)
    if first is None:
        raise ValueError(
            f"{name} has no frames from {part.start:g} to {part.stop:g} seconds"
        )
    if first.shape[2] == 3:
        chunks = (frame[None] for frame in _joined(first, frames))
        return encoders.mp4_bytes(chunks, fps)
    file = io.BytesIO()
    animations.write_animation(file, _joined(first, frames), fps, "WEBP", **_ALPHA)
    return file.getvalue()


def crop_picture(content: bytes, name: str, part: Cut) -> bytes:
    """Return a part of a picture as a PNG file.

    Raises:
      ValueError: the content is no picture.
    """
    picture = pictures.still_of(content, keep_alpha=True)
    if picture is None:
        raise ValueError(f"{name} is no picture")
    file = io.BytesIO()
    rows = slice(part.top, part.top + part.height)
    columns = slice(part.left, part.left + part.width)
    pictures.write_png(file, np.ascontiguousarray(picture[rows, columns]))
    return file.getvalue()


def _joined(
    first: UInt8[np.ndarray, "h w c"], others: Iterator[UInt8[np.ndarray, "h w c"]]
) -> Iterator[UInt8[np.ndarray, "h w c"]]:
    yield first
    yield from others


def _frames(
    decoded: Iterator[decoding.TimedFrame], part: Cut, fps: float
) -> Iterator[UInt8[np.ndarray, "h w c"]]:
    """Yield cropped frames at a constant rate, with two in memory."""
    step = 1 / Fraction(fps).limit_denominator(1001)
    slack = float(step) / 4  # times in tables are rounded
    count, before = 0, None
    for shown in decoded:
        while before is not None and part.start + count * step + slack < shown.begin:
            yield before
            count += 1
            if part.start + count * step + slack >= part.stop:
                return
        if shown.begin + shown.length > part.start - slack:
            before = _cropped(shown, part)
        if shown.begin + slack >= part.stop:
            return
    while before is not None and part.start + count * step + slack < part.stop:
        yield before
        count += 1


def _cropped(frame: decoding.TimedFrame, part: Cut) -> UInt8[np.ndarray, "h w c"]:
    pixels = frame.pixels()
    if pixels.shape[:2] != frame.size:  # pixels that are not square
        shown = video.fit(video.to_float(pixels[None]), *frame.size, how="stretch")
        pixels = video.to_uint8(shown)[0]
    height, width = (max(2, side - side % 2) for side in (part.height, part.width))
    rows = slice(part.top, part.top + height)
    return np.ascontiguousarray(pixels[rows, part.left : part.left + width])

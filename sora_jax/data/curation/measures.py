"""Measures of pictures: black borders, sharpness, exposure, contrast."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from sora_jax.data.curation.shots import Box

BLACK = 24  # level of 255 up to which a pixel is black, as FFmpeg's cropdetect
NARROWEST = 0.3  # share of the frame on each axis; upright in 16:9 there is 0.316
STRAIGHT = 0.5  # share of a line next to a border that is lit in some frame
SHORT_SIDE = 256  # pixels of the pictures that sharpness is measured in
CLIPPED = 4  # levels of 255


def brightness(frame: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w"]:
    """Return the brightness (Rec. 601 luma) of a frame."""
    return np.asarray(Image.fromarray(frame).convert("L"))


def shrink(
    pixels: UInt8[np.ndarray, "h w *c"], size: tuple[int, int]
) -> UInt8[np.ndarray, "height width *c"]:
    """Scale a picture down to (height, width) by averaging; smaller sides stay."""
    rows, columns = min(size[0], pixels.shape[0]), min(size[1], pixels.shape[1])
    image = Image.fromarray(pixels).resize((columns, rows), Image.Resampling.BOX)
    return np.asarray(image)


def within(
    height: int, width: int, *, short_side: int | None = None, width_most: int = 2**30
) -> tuple[int, int]:
    """Return (height, width) scaled down, never up, keeping the aspect ratio."""
    scale = min(1.0, width_most / width)
    if short_side is not None:
        scale = min(scale, short_side / min(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def find_crop(brightest: UInt8[np.ndarray, "h w"]) -> Box:
    """Return a shot's frame without its black borders.

    A border is black in every frame, and ends in a straight line, most of which is lit
    in some frame. What is lit must take a good part of the frame: a small thing that
    moves before a black background has no borders.

    Args:
      brightest: the brightest level that each pixel has in any frame.
    """
    rows, columns = brightest.shape
    whole = Box(top=0, left=0, height=rows, width=columns)
    lit = brightest > BLACK
    down, across = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
    if not len(down):
        return whole
    top, bottom = int(down[0]), int(down[-1]) + 1
    left, right = int(across[0]), int(across[-1]) + 1
    if min((bottom - top) / rows, (right - left) / columns) < NARROWEST:
        return whole
    inside = lit[top:bottom, left:right]
    top = top if inside[0].mean() >= STRAIGHT else 0
    bottom = bottom if inside[-1].mean() >= STRAIGHT else rows
    left = left if inside[:, 0].mean() >= STRAIGHT else 0
    right = right if inside[:, -1].mean() >= STRAIGHT else columns
    return Box(top=top, left=left, height=bottom - top, width=right - left)


def scaled(crop: Box, old: tuple[int, int], new: tuple[int, int]) -> Box:
    """Return a crop of frames of one (height, width) in frames of another.

    Its lines that are only partly inside are left out, if any line is wholly inside.
    """
    top, bottom = _scaled(crop.top, crop.top + crop.height, old[0], new[0])
    left, right = _scaled(crop.left, crop.left + crop.width, old[1], new[1])
    return Box(top=top, left=left, height=bottom - top, width=right - left)


def _scaled(first: int, last: int, old: int, new: int) -> tuple[int, int]:
    # Integers, since 2 / 3 * 3 may not be 2.
    start, stop = -(-first * new // old), last * new // old
    if start >= stop:
        start = min(first * new // old, new - 1)
        stop = start + 1
    return start, stop


def cut(frame: np.ndarray, crop: Box) -> np.ndarray:
    """Return a part of a frame."""
    rows = slice(crop.top, crop.top + crop.height)
    return frame[rows, crop.left : crop.left + crop.width]


class Look(NamedTuple):
    """Measures of a picture, in the units of `shots.Scores`."""

    sharpness: float
    exposure: float
    contrast: float
    clipped: float


def look(bright: UInt8[np.ndarray, "h w"]) -> Look:
    """Measure a picture by its brightness."""
    level = bright.astype(np.float32)
    ends = (bright <= CLIPPED) | (bright >= 255 - CLIPPED)
    return Look(
        sharpness=sharpness(level),
        exposure=float(level.mean()) / 255,
        contrast=float(level.std()) / 255,
        clipped=float(ends.mean()),
    )


def sharpness(level: Float[np.ndarray, "h w"]) -> float:
    """Return the variance of the Laplacian over four neighbours, in squared levels."""
    if min(level.shape) < 3:
        return 0.0
    around = level[:-2, 1:-1] + level[2:, 1:-1] + level[1:-1, :-2] + level[1:-1, 2:]
    return float((around - 4 * level[1:-1, 1:-1]).var())


def distance(a: UInt8[np.ndarray, "h w"], b: UInt8[np.ndarray, "h w"]) -> float:
    """Return the mean absolute difference in levels of 255."""
    return float(np.abs(a.astype(np.int16) - b).mean())


def largest(a: UInt8[np.ndarray, "h w"], b: UInt8[np.ndarray, "h w"]) -> int:
    """Return the largest absolute difference of a pixel in levels of 255."""
    return int(np.abs(a.astype(np.int16) - b).max(initial=0))


def mean(values: list[float]) -> float:
    """Return the mean of at least one value."""
    return math.fsum(values) / len(values)

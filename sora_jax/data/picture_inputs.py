"""Prepare pictures for CLIP's vision tower: resized, and normalised by channel."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from PIL import Image

from sora_jax.config import PictureConfig
from sora_jax.data.video import to_uint8

# Of the pixels that CLIP was trained on, in [0, 1].
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
DEVIATION = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)
SHARPNESS = -0.75  # of torch's bicubic kernel


def picture_input(
    picture: Float[np.ndarray, "h w 3"], config: PictureConfig
) -> Float[np.ndarray, "h2 w2 3"]:
    """Resize a picture in [-1, 1] to the tower's size, and normalise it."""
    resize = {"crop": _cropped, "squash": _squashed}[config.fit]
    pixels = resize(picture, config.size)
    return ((pixels - MEAN) / DEVIATION).astype(np.float32)


def _cropped(
    picture: Float[np.ndarray, "h w 3"], size: int
) -> Float[np.ndarray, "h2 w2 3"]:
    """Resize the shorter side and crop the middle, as transformers does."""
    height, width = picture.shape[:2]
    short = min(height, width)
    wide, tall = (max(size, int(size * side / short)) for side in (width, height))
    image = Image.fromarray(to_uint8(picture))
    resized = np.asarray(
        image.resize((wide, tall), Image.Resampling.BICUBIC), np.float32
    )
    top, left = ((side - size) // 2 for side in resized.shape[:2])
    return resized[top : top + size, left : left + size] / 255


def _squashed(
    picture: Float[np.ndarray, "h w 3"], size: int
) -> Float[np.ndarray, "h2 w2 3"]:
    """Resize both sides by torch's bicubic kernel, not smoothed, as Wan's code does."""
    rows, columns = (_bicubic(side, size) for side in picture.shape[:2])
    resized = np.einsum("ih,hwc,jw->ijc", rows, picture, columns, optimize=True)
    return (resized + 1) / 2


def _bicubic(old: int, new: int) -> Float[np.ndarray, "new old"]:
    """Return the matrix that resizes a side (Keys 1981, with edges repeated)."""
    centres = (np.arange(new) + 0.5) * old / new - 0.5
    taps = np.floor(centres)[:, None] + np.arange(-1, 3)
    x = np.abs(centres[:, None] - taps)
    a = SHARPNESS
    near = ((a + 2) * x - (a + 3)) * x**2 + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    weights = np.where(x <= 1, near, np.where(x < 2, far, 0.0))
    matrix = np.zeros((new, old))
    index = np.clip(taps, 0, old - 1).astype(int)
    np.add.at(matrix, (np.arange(new)[:, None], index), weights)
    return matrix

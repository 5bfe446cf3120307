"""Prepare pictures for CLIP's vision tower: resized, and normalised by channel."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from PIL import Image

from sora_jax.config import PictureConfig
from sora_jax.data.interpolation import bicubic, resize
from sora_jax.data.video import to_uint8

# Of the pixels that CLIP was trained on, in [0, 1].
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
DEVIATION = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


def picture_input(
    picture: Float[np.ndarray, "h w 3"], config: PictureConfig
) -> Float[np.ndarray, "h2 w2 3"]:
    """Resize a picture in [-1, 1] to the tower's size, and normalise it."""
    bring = {"crop": _cropped, "squash": _squashed}[config.fit]
    pixels = bring(picture, config.size)
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
    """Resize both sides, not smoothed, as Wan's own code does."""
    return (resize(picture, size, size, bicubic) + 1) / 2

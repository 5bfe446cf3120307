"""Textured clips for tests of curation."""

from __future__ import annotations

import numpy as np
from PIL import Image


def texture(seed: int, height: int = 64, width: int = 96) -> np.ndarray:
    """A picture of smooth random colours that repeat at its sides."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (3, 4, 3), np.uint8)
    tiled = np.tile(coarse, (3, 3, 1))
    big = Image.fromarray(tiled).resize(
        (3 * width, 3 * height), Image.Resampling.BICUBIC
    )
    return np.asarray(big)[height : 2 * height, width : 2 * width]


def moving(seed: int, frames: int = 24, speed: int = 1, **size: int) -> np.ndarray:
    """The texture, that moves some pixels to the right in each frame."""
    still = texture(seed, **size)
    return np.stack([np.roll(still, speed * i, axis=1) for i in range(frames)])


def blurred(frames: np.ndarray, factor: int) -> np.ndarray:
    """Frames that have lost detail."""
    height, width = frames.shape[1:3]
    small = (width // factor, height // factor)
    images = (Image.fromarray(frame).resize(small) for frame in frames)
    return np.stack([np.asarray(image.resize((width, height))) for image in images])

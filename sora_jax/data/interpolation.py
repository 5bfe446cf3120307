"""Resize pictures by torch's kernels, without smoothing, and resample clips in time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

SHARPNESS = -0.75  # of torch's bicubic kernel
Kernel = Callable[[np.ndarray], np.ndarray]  # weights by distance, in input pixels


def bicubic(x: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Weigh 4 neighbours (Keys 1981)."""
    a = SHARPNESS
    near = ((a + 2) * x - (a + 3)) * x**2 + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def bilinear(x: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Weigh 2 neighbours."""
    return np.maximum(1 - x, 0.0)


def resize(
    picture: Float[np.ndarray, "h w c"], height: int, width: int, kernel: Kernel
) -> Float[np.ndarray, "h2 w2 c"]:
    """Resize both sides; edges are repeated."""
    rows = _matrix(picture.shape[0], height, kernel)
    columns = _matrix(picture.shape[1], width, kernel)
    return np.einsum("ih,hwc,jw->ijc", rows, picture, columns, optimize=True)


def _matrix(old: int, new: int, kernel: Kernel) -> Float[np.ndarray, "new old"]:
    """Return the matrix that resizes a side."""
    centres = (np.arange(new) + 0.5) * old / new - 0.5
    taps = np.floor(centres)[:, None] + np.arange(-1, 3)
    matrix = np.zeros((new, old))
    index = np.clip(taps, 0, old - 1).astype(int)
    shares = kernel(np.abs(centres[:, None] - taps))
    np.add.at(matrix, (np.arange(new)[:, None], index), shares)
    return matrix


def blend_frames(
    frames: Float[np.ndarray, "t h w c"], count: int, step: int | float
) -> Float[np.ndarray, "t2 h w c"]:
    """Resample a clip in time, each frame from the two around it.

    Args:
      frames: of the clip.
      count: frames of the result; after the clip's last frame, that one is held.
      step: time between them, in frames of the clip.
    """
    if not any(frames.strides):  # one pixel stands for all
        return np.broadcast_to(frames[:1], (count, *frames.shape[1:]))
    times = np.minimum(np.arange(count) * step, len(frames) - 1)
    first = np.minimum(times.astype(int), max(0, len(frames) - 2))
    second = np.minimum(first + 1, len(frames) - 1)
    share = (times - first).astype(np.float32)[:, None, None, None]
    return (1 - share) * frames[first] + share * frames[second]

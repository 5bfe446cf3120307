"""Latents to tokens and back: patches in (t, h, w) order, channels fastest.

The functions only reshape, so they serve NumPy and JAX arrays alike.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from sora_jax.types import AnyArray

Patch = tuple[int, int, int]


def grid_of(latents_shape: tuple[int, ...], patch: Patch) -> tuple[int, int, int]:
    """Patches along (t, h, w)."""
    t, h, w = (size // p for size, p in zip(latents_shape[:3], patch, strict=True))
    return t, h, w


def patchify(
    latents: Float[AnyArray, "t h w z"], patch: Patch
) -> Float[AnyArray, "n p"]:
    """Cut latents into one row of tokens."""
    t, h, w = grid_of(latents.shape, patch)
    a, i, j = patch
    x = latents.reshape(t, a, h, i, w, j, -1).transpose(0, 2, 4, 1, 3, 5, 6)
    return x.reshape(t * h * w, -1)


def unpatchify(
    tokens: Float[AnyArray, "n p"],
    grid: tuple[int, int, int],
    patch: Patch,
) -> Float[AnyArray, "t h w z"]:
    """Undo `patchify`."""
    t, h, w = grid
    a, i, j = patch
    x = tokens.reshape(t, h, w, a, i, j, -1).transpose(0, 3, 1, 4, 2, 5, 6)
    return x.reshape(t * a, h * i, w * j, -1)


def coordinates(
    grid: tuple[int, int, int], start: float = 0.0, rate: float = 1.0
) -> Float[np.ndarray, "n 3"]:
    """The (t, h, w) position of each token.

    Args:
      grid: patches along (t, h, w).
      start: time of the first patch.
      rate: time between patches; not 1 where the frame rate is not the model's.
    """
    t, h, w = grid
    axes = np.meshgrid(
        start + rate * np.arange(t, dtype=np.float32),
        np.arange(h, dtype=np.float32),
        np.arange(w, dtype=np.float32),
        indexing="ij",
    )
    return np.stack(axes, axis=-1).reshape(-1, 3).astype(np.float32)

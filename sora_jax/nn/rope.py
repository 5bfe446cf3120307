"""Rotary position embedding over (t, h, w) coordinates.

Channels are in half-split order (all first members of the rotated pairs, then all
second members), so that a rotation multiplies contiguous halves. Weights of models that
rotate adjacent pairs are permuted once, at conversion.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from sora_jax.nn.precision import wide


def axis_pairs(head_dim: int) -> tuple[int, int, int]:
    """Rotated pairs given to (t, h, w); Wan's split, 22/21/21 of a head of 128."""
    pairs = head_dim // 2
    spatial = head_dim // 6
    return pairs - 2 * spatial, spatial, spatial


def rotary_table(
    coords: Float[Array, "b n 3"], head_dim: int, theta: float
) -> Float[Array, "2 b n 1 half"]:
    """Cosines and sines for each token, shared by all heads and layers."""
    angles = []
    for axis, pairs in enumerate(axis_pairs(head_dim)):
        frequency = theta ** -(np.arange(pairs, dtype=np.float64) / pairs)
        position = wide(coords[..., axis : axis + 1])
        frequency = jnp.asarray(frequency, position.dtype)
        angles.append(position * frequency[None, None, :])
    angle = jnp.concatenate(angles, axis=-1)[:, :, None, :]
    return jnp.stack([jnp.cos(angle), jnp.sin(angle)])


def rotate(
    x: Float[Array, "b n k e"], table: Float[Array, "2 b n 1 half"]
) -> Float[Array, "b n k e"]:
    """Rotate each (first, second) pair of channels by the angle of its token."""
    first, second = jnp.split(wide(x), 2, axis=-1)
    cos, sin = table
    rotated = [first * cos - second * sin, first * sin + second * cos]
    return jnp.concatenate(rotated, axis=-1).astype(x.dtype)

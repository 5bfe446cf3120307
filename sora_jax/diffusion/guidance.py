"""Classifier-free guidance (Ho & Salimans 2022)."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

TINY = 1e-8


def guide(
    conditional: Float[Array, "*b"],
    unconditional: Float[Array, "*b"],
    scale: float | Float[Array, ""],
) -> Float[Array, "*b"]:
    """Extrapolate from the unconditional velocity through the conditional one."""
    return unconditional + scale * (conditional - unconditional)


def projected(
    conditional: Float[Array, "b n p"], unconditional: Float[Array, "b n p"]
) -> Float[Array, "b n p"]:
    """Project the conditional velocity of each video on the unconditional one.

    CFG-Zero* guides from there (Fan et al. 2025, equation 8).
    """
    product = jnp.sum(conditional * unconditional, axis=(1, 2), keepdims=True)
    square = jnp.sum(jnp.square(unconditional), axis=(1, 2), keepdims=True)
    return unconditional * product / (square + TINY)

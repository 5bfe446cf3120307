"""Classifier-free guidance (Ho & Salimans 2022)."""

from __future__ import annotations

from jaxtyping import Array, Float


def guide(
    conditional: Float[Array, "*b"],
    unconditional: Float[Array, "*b"],
    scale: float | Float[Array, ""],
) -> Float[Array, "*b"]:
    """Extrapolate from the unconditional velocity through the conditional one."""
    return unconditional + scale * (conditional - unconditional)

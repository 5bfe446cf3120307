"""Check tensors: names, shapes and finite values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import jax.numpy as jnp
import numpy as np

from sora_jax import files

Shapes = Mapping[str, Sequence[int]]  # of tensors, by name

_SHOWN = 20  # names of each kind in an error
_BLOCK = 2**17  # values checked at once


def is_finite(array: np.ndarray) -> bool:
    """Return whether an array of any floating-point dtype is finite."""
    if not jnp.issubdtype(array.dtype, np.floating):
        return True
    size = array.dtype.itemsize
    flat = np.ascontiguousarray(array).reshape(-1)
    # NaN and infinity have the largest bit patterns of their sign: the maxima of the
    # bits as signed and as unsigned integers find them. This is fast for every dtype,
    # in blocks that fit into the cache.
    positive, negative = np.array([np.inf, -np.inf], array.dtype)
    views = [
        (flat.view(f"i{size}"), positive.view(f"i{size}")),
        (flat.view(f"u{size}"), negative.view(f"u{size}")),
    ]
    return not any(
        integers[start : start + _BLOCK].max() >= least
        for start in range(0, flat.size, _BLOCK)
        for integers, least in views
    )


def refuse_infinite(where: str, names: Sequence[str]) -> None:
    """Refuse tensors with NaN or infinity.

    Raises:
      ValueError: lists them.
    """
    if names:
        raise ValueError(
            f"weights {where!r} hold NaN or infinity; copy or "
            "download them again:\n" + "\n".join(listed("in", names))
        )


def differences(stored: Shapes, wanted: Shapes) -> list[str]:
    """List the tensors that are missing, unexpected or of another shape."""
    misshapen = (
        f"{name}: {list(stored[name])} in the file, {list(wanted[name])} wanted"
        for name in stored.keys() & wanted.keys()
        if tuple(stored[name]) != tuple(wanted[name])
    )
    return [
        *listed("missing", wanted.keys() - stored.keys()),
        *listed("unexpected", stored.keys() - wanted.keys()),
        *listed("of another shape", misshapen),
    ]


def listed(kind: str, names: Iterable[str]) -> list[str]:
    """Return message lines that list names of a kind, truncated."""
    lines = sorted(name if name.isprintable() else files.quoted(name) for name in names)
    if not lines:
        return []
    more = [f"    and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return [f"  {kind}:", *(f"    {line}" for line in lines[:_SHOWN]), *more]

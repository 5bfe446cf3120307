"""What may be wrong with tensors: their names, shapes and types, and their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import jax.numpy as jnp
import numpy as np

from sora_jax import files

Shapes = Mapping[str, Sequence[int]]  # of tensors, by name

_SHOWN = 20  # names of each kind in an error
_BLOCK = 2**17  # numbers that are looked at at once


def is_finite(array: np.ndarray) -> bool:
    """Whether an array of any floating-point type holds no infinity and no NaN."""
    if not jnp.issubdtype(array.dtype, np.floating):
        return True
    size = array.dtype.itemsize
    flat = np.ascontiguousarray(array).reshape(-1)
    # What is no number has the greatest bits of its sign: as integers, read with a
    # sign and without, two maxima tell. They are fast in every type, in blocks that
    # stay in the cache.
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
    """Refuse tensors that hold infinities or NaN.

    Raises:
      ValueError: lists them, if there are any.
    """
    if names:
        raise ValueError(
            f"weights {where!r} hold what is no number (NaN or infinity); copy or "
            "download them again:\n" + "\n".join(listed("in", names))
        )


def differences(stored: Shapes, wanted: Shapes) -> list[str]:
    """Lines that tell which tensors are missing, unexpected or of another shape."""
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
    """Lines of an error that list names of a kind, but not too many."""
    lines = sorted(name if name.isprintable() else files.quoted(name) for name in names)
    if not lines:
        return []
    more = [f"    and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return [f"  {kind}:", *(f"    {line}" for line in lines[:_SHOWN]), *more]

"""Random numbers that are the same on every machine, for every index.

Only `Generator.random` is ever drawn from, because NumPy may change how its other
methods use the random bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

_T = TypeVar("_T")


def generator(*entropy: int) -> np.random.Generator:
    """Return a generator for some numbers, such as (seed, index)."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(entropy)))


def pick(rng: np.random.Generator, pairs: Sequence[tuple[_T, float]]) -> _T:
    """Draw from (value, weight) pairs."""
    edges = np.cumsum([weight for _, weight in pairs])
    chosen = np.searchsorted(edges, rng.random() * edges[-1], side="right")
    return pairs[min(int(chosen), len(pairs) - 1)][0]


def choose(rng: np.random.Generator, options: Sequence[_T]) -> _T:
    """Draw from equally likely options."""
    return options[int(rng.random() * len(options))]

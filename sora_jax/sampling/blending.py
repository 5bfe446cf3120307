"""Cut a long axis into overlapping tiles of equal length, and blend them again."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

# The place of a tile, and the weights of its cells.
Tile: TypeAlias = tuple[tuple[slice, ...], np.ndarray]


@dataclasses.dataclass(frozen=True)
class TileGrid:
    """Overlapping tiles of one shape that cover an array.

    Attributes:
      starts: of the tiles along each axis.
      weights: of each of these tiles, for each place along it. At every place of the
        axis they sum to 1.
    """

    starts: tuple[tuple[int, ...], ...]
    weights: tuple[Float[np.ndarray, "_ _"], ...]

    def __len__(self) -> int:
        return math.prod(map(len, self.starts))

    def __iter__(self) -> Iterator[Tile]:
        """Yield the place of each tile, and its weights, which are of its shape."""
        places = [
            [slice(start, start + each.shape[1]) for start in starts]
            for starts, each in zip(self.starts, self.weights, strict=True)
        ]
        for where, weights in zip(
            itertools.product(*places), itertools.product(*self.weights), strict=True
        ):
            yield where, functools.reduce(np.multiply, np.ix_(*weights))


def tile_grid(
    shape: tuple[int, ...],
    tile: tuple[int, ...],
    overlap: int | float,
    units: tuple[int, ...] | None = None,
) -> TileGrid:
    """Cover an array by tiles.

    Args:
      shape: of the array.
      tile: of a tile; where the array is smaller, a tile is as large as the array.
      overlap: share of a tile's length that it has in common with the next, at least.
      units: that starts are multiples of, as all lengths are.
    """
    starts, weights = [], []
    units = (1,) * len(shape) if units is None else units
    for size, length, unit in zip(shape, tile, units, strict=True):
        length = min(size, length)
        cells = tile_starts(size // unit, length // unit, overlap)
        starts.append(tuple(start * unit for start in cells))
        weights.append(blending_weights(starts[-1], length))
    return TileGrid(tuple(starts), tuple(weights))


def tile_starts(size: int, tile: int, overlap: int | float) -> list[int]:
    """Return the starts of the fewest tiles that overlap enough, evenly spaced."""
    if size <= tile:
        return [0]
    shared = min(tile - 1, math.ceil(tile * overlap))
    steps = -(-(size - tile) // (tile - shared))
    return [round(step * (size - tile) / steps) for step in range(steps + 1)]


def blending_weights(starts: tuple[int, ...], tile: int) -> Float[np.ndarray, "_ tile"]:
    """Return the weights along each tile: linear ramps where it overlaps with others.

    They sum to 1 at every place.
    """
    place = np.arange(tile)
    weights = np.ones((len(starts), tile))
    for number, (before, after) in enumerate(itertools.pairwise(starts)):
        shared = max(0, before + tile - after)
        rising = np.minimum(1, (place + 1) / (shared + 1))
        weights[number] = np.minimum(weights[number], rising[::-1])
        weights[number + 1] = np.minimum(weights[number + 1], rising)
    total = np.zeros(starts[-1] + tile)
    for start, each in zip(starts, weights, strict=True):
        total[start : start + tile] += each
    for start, each in zip(starts, weights, strict=True):
        each /= total[start : start + tile]
    return weights.astype(np.float32)

"""Names of others' weights beside our parameters: read forwards to import, backwards
to export.

A table lists every tensor of a foreign model once: its name, the parameter that it
belongs to, where in that parameter it lies (our layers are stacked, and what is
multiplied together is kept together), and how its axes are turned. All that an error
can name follows from it: what is missing, what is unexpected, what has another shape.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

# Of the names of tensors: diffusers' (and transformers'), and the publishers' own.
LAYOUTS = ("diffusers", "original")
Index = tuple[int | slice, ...]
ALL = slice(None)


@dataclasses.dataclass(frozen=True)
class Turn:
    """How the axes of a tensor are turned, and how they are turned back.

    Turns are views where they can be: only rows that are long in memory are copied.
    Where they cannot, `shape` tells that of theirs without memory.
    """

    ours: Callable[[np.ndarray], np.ndarray]
    theirs: Callable[[np.ndarray], np.ndarray]
    shape: Callable[[Sequence[int]], tuple[int, ...]] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """A tensor of a foreign model.

    Attributes:
      name: in its files.
      path: of our parameter, with slashes.
      index: where in our parameter it lies.
      turn: from their axes to ours.
    """

    name: str
    path: str
    index: Index = ()
    turn: Turn

    def their_shape(self, ours: Sequence[int]) -> tuple[int, ...]:
        """The shape of the tensor, from that of our whole parameter."""
        dummy = np.broadcast_to(np.int8(0), tuple(ours))
        part = dummy[self.index]
        if self.turn.shape is not None:
            return self.turn.shape(part.shape)
        return self.turn.theirs(part).shape


def transposed(*axes: int) -> Turn:
    """Their axes in another order."""
    back = tuple(int(axis) for axis in np.argsort(axes))
    return Turn(lambda x: x.transpose(axes), lambda x: x.transpose(back))


def squeezed(*lengths: int) -> Turn:
    """Axes of length one that they have beside ours: 0 stands for all of ours."""
    ones = tuple(axis for axis, length in enumerate(lengths) if length == 1)
    return Turn(
        lambda x: x.reshape([n for i, n in enumerate(x.shape) if i not in ones]),
        lambda x: np.expand_dims(x, ones),
    )


def then(first: Turn, second: Turn) -> Turn:
    """One turn after another."""
    return Turn(
        lambda x: second.ours(first.ours(x)), lambda x: first.theirs(second.theirs(x))
    )


SAME = Turn(lambda x: x, lambda x: x)
LINEAR = transposed(1, 0)  # torch keeps (out, in)
CONV_3D = transposed(2, 3, 4, 1, 0)
CONV_2D = transposed(2, 3, 1, 0)
# A convolution of one pixel, which is a linear map to us.
POINT_3D = then(squeezed(0, 0, 1, 1, 1), LINEAR)
POINT_2D = then(squeezed(0, 0, 1, 1), LINEAR)
FIRST_OF_ONE = squeezed(1, 0, 0)


def grouped(parts: int) -> Turn:
    """A linear map whose outputs stand in groups: (parts x out, in)."""
    return then(
        LINEAR,
        Turn(
            lambda x: x.reshape(x.shape[0], parts, -1),
            lambda x: x.reshape(x.shape[0], -1),
        ),
    )


def grouped_bias(parts: int) -> Turn:
    """Its bias."""
    return Turn(lambda x: x.reshape(parts, -1), lambda x: x.reshape(-1))


def halves(heads: int) -> Turn:
    """Channels of each head, from adjacent rotary pairs to our halves (first axis)."""

    def apart(x: np.ndarray) -> np.ndarray:
        return x.reshape(heads, -1, 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)

    def together(x: np.ndarray) -> np.ndarray:
        return x.reshape(heads, 2, -1, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)

    return Turn(apart, together)


def patches(patch: tuple[int, int, int], made: int) -> Turn:
    """A convolution over patches: (out, c, t, h, w) to rows of tokens, then of extras.

    Args:
      patch: its kernel.
      made: how many of the channels are the noisy latents; the others are extras.
    """

    def ours(x: np.ndarray) -> np.ndarray:
        x = x.transpose(2, 3, 4, 1, 0)
        parts = (x[..., :made, :], x[..., made:, :])
        rows = [part.reshape(-1, x.shape[-1]) for part in parts]
        return np.concatenate(rows)

    def theirs(x: np.ndarray) -> np.ndarray:
        rows = int(np.prod(patch)) * made
        parts = [part.reshape(*patch, -1, x.shape[-1]) for part in (x[:rows], x[rows:])]
        return np.concatenate(parts, axis=3).transpose(4, 3, 0, 1, 2)

    def shape(ours: Sequence[int]) -> tuple[int, ...]:
        rows, out = ours
        return (out, rows // math.prod(patch), *patch)

    return Turn(ours, theirs, shape)

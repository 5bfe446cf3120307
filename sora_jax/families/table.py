"""Tensors of published weights beside our parameters: one table imports and exports.

A table lists every tensor of a model's files once: its name there, the parameter that
holds it, where in that parameter (our layers are stacked, and what is multiplied
together is kept together), and how its axes change. All that an error can name follows
from it: what is missing, what is unexpected, what has another shape.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

Index = tuple[int | slice, ...]
ALL = slice(None)


@dataclasses.dataclass(frozen=True)
class Transform:
    """How a tensor of a file becomes part of a parameter, and back.

    Both are views where they can be: only rows that are long in memory are copied.

    Attributes:
      forward: file to model.
      inverse: model to file.
      file_shape: the shape of `inverse`'s result, where only a copy would tell it.
    """

    forward: Callable[[np.ndarray], np.ndarray]
    inverse: Callable[[np.ndarray], np.ndarray]
    file_shape: Callable[[Sequence[int]], tuple[int, ...]] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """A tensor of a model's files.

    Attributes:
      name: in the files.
      path: of our parameter, with slashes.
      index: where in our parameter it lies.
      transform: from the file's axes to the model's.
    """

    name: str
    path: str
    index: Index = ()
    transform: Transform

    def file_shape(self, parameter: Sequence[int]) -> tuple[int, ...]:
        """The shape of the tensor in its file, from that of our whole parameter."""
        dummy = np.broadcast_to(np.int8(0), tuple(parameter))
        part = dummy[self.index]
        if self.transform.file_shape is not None:
            return self.transform.file_shape(part.shape)
        return self.transform.inverse(part).shape


def transposed(*axes: int) -> Transform:
    """The file's axes in another order."""
    back = tuple(int(axis) for axis in np.argsort(axes))
    return Transform(lambda x: x.transpose(axes), lambda x: x.transpose(back))


def squeezed(*lengths: int) -> Transform:
    """Axes of length one that only the file has; 0 stands for each of the others."""
    ones = tuple(axis for axis, length in enumerate(lengths) if length == 1)
    return Transform(
        lambda x: x.reshape([n for i, n in enumerate(x.shape) if i not in ones]),
        lambda x: np.expand_dims(x, ones),
    )


def chain(first: Transform, second: Transform) -> Transform:
    """One transform after another."""
    return Transform(
        lambda x: second.forward(first.forward(x)),
        lambda x: first.inverse(second.inverse(x)),
    )


SAME = Transform(lambda x: x, lambda x: x)
LINEAR = transposed(1, 0)  # torch keeps (out, in)
CONV_3D = transposed(2, 3, 4, 1, 0)
CONV_2D = transposed(2, 3, 1, 0)
# A convolution of one pixel: a linear map.
POINT_3D = chain(squeezed(0, 0, 1, 1, 1), LINEAR)
POINT_2D = chain(squeezed(0, 0, 1, 1), LINEAR)
FIRST_OF_ONE = squeezed(1, 0, 0)


def grouped(parts: int) -> Transform:
    """A linear map whose outputs stand in groups: (parts x out, in)."""
    return chain(
        LINEAR,
        Transform(
            lambda x: x.reshape(x.shape[0], parts, -1),
            lambda x: x.reshape(x.shape[0], -1),
        ),
    )


def grouped_bias(parts: int) -> Transform:
    """Its bias."""
    return Transform(lambda x: x.reshape(parts, -1), lambda x: x.reshape(-1))


def halves(heads: int) -> Transform:
    """Channels of each head, from adjacent rotary pairs to our halves (first axis)."""

    def to_halves(x: np.ndarray) -> np.ndarray:
        return x.reshape(heads, -1, 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)

    def to_pairs(x: np.ndarray) -> np.ndarray:
        return x.reshape(heads, 2, -1, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)

    return Transform(to_halves, to_pairs)


def patches(patch: tuple[int, int, int], noisy: int) -> Transform:
    """A convolution over patches: (out, c, t, h, w) to rows of tokens, then of extras.

    Args:
      patch: its kernel.
      noisy: how many of the channels are the noisy latents; the others are extras.
    """

    def forward(x: np.ndarray) -> np.ndarray:
        x = x.transpose(2, 3, 4, 1, 0)
        parts = (x[..., :noisy, :], x[..., noisy:, :])
        rows = [part.reshape(-1, x.shape[-1]) for part in parts]
        return np.concatenate(rows)

    def inverse(x: np.ndarray) -> np.ndarray:
        rows = int(np.prod(patch)) * noisy
        parts = [part.reshape(*patch, -1, x.shape[-1]) for part in (x[:rows], x[rows:])]
        return np.concatenate(parts, axis=3).transpose(4, 3, 0, 1, 2)

    def file_shape(parameter: Sequence[int]) -> tuple[int, ...]:
        rows, out = parameter
        return (out, rows // math.prod(patch), *patch)

    return Transform(forward, inverse, file_shape)

"""Tables that map the tensors of files to parameters, for import and export.

A table lists every tensor of a model's files once: its name, its parameter, the index
in that parameter (layers are stacked, and projections fused), and the transform of its
axes. Missing, unexpected and misshapen tensors are found by comparing with it.
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
    """Converts a tensor of a file to part of a parameter, and back.

    Both directions return views if possible.

    Attributes:
      forward: file to model.
      inverse: model to file.
      file_shape: the shape of `inverse`'s result, if computing it needs a copy.
    """

    forward: Callable[[np.ndarray], np.ndarray]
    inverse: Callable[[np.ndarray], np.ndarray]
    file_shape: Callable[[Sequence[int]], tuple[int, ...]] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """A tensor of a model's files.

    Attributes:
      name: in the files.
      path: of the parameter, with slashes.
      index: within the parameter.
      transform: from the file's axes to the model's.
    """

    name: str
    path: str
    index: Index = ()
    transform: Transform

    def file_shape(self, parameter: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of the tensor in its file, from the parameter's shape."""
        dummy = np.broadcast_to(np.int8(0), tuple(parameter))
        part = dummy[self.index]
        if self.transform.file_shape is not None:
            return self.transform.file_shape(part.shape)
        return self.transform.inverse(part).shape


def transposed(*axes: int) -> Transform:
    """Permute the file's axes."""
    back = tuple(int(axis) for axis in np.argsort(axes))
    return Transform(lambda x: x.transpose(axes), lambda x: x.transpose(back))


def squeezed(*lengths: int) -> Transform:
    """Drop the file's axes of length 1; in `lengths`, 0 stands for any other axis."""
    ones = tuple(axis for axis, length in enumerate(lengths) if length == 1)
    return Transform(
        lambda x: x.reshape([n for i, n in enumerate(x.shape) if i not in ones]),
        lambda x: np.expand_dims(x, ones),
    )


def chain(first: Transform, second: Transform) -> Transform:
    """Compose two transforms."""
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
    """Split a fused linear layer: (parts x out, in)."""
    return chain(
        LINEAR,
        Transform(
            lambda x: x.reshape(x.shape[0], parts, -1),
            lambda x: x.reshape(x.shape[0], -1),
        ),
    )


def grouped_bias(parts: int) -> Transform:
    """Split the bias of a fused linear layer."""
    return Transform(lambda x: x.reshape(parts, -1), lambda x: x.reshape(-1))


def halves(heads: int) -> Transform:
    """Reorder channels of heads from adjacent rotary pairs to halves (first axis)."""

    def to_halves(x: np.ndarray) -> np.ndarray:
        return x.reshape(heads, -1, 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)

    def to_pairs(x: np.ndarray) -> np.ndarray:
        return x.reshape(heads, 2, -1, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)

    return Transform(to_halves, to_pairs)


def patches(patch: tuple[int, int, int], noisy: int) -> Transform:
    """Convert a patch convolution (out, c, t, h, w) to a linear kernel.

    Args:
      patch: its kernel.
      noisy: channels of the noisy latents; the others are conditioning channels.
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

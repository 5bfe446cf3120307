"""The network that a LoRA file is for, and the file's tensors by their place in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from flax import nnx

from sora_jax.families.family import Shapes
from sora_jax.families.table import ALL, LINEAR, Entry, Transform, chain
from sora_jax.nn.layers import Linear
from sora_jax.weights.adapters import linears
from sora_jax.weights.headers import StoredTensor
from sora_jax.weights.lora_names import Names
from sora_jax.weights.modules import flatten, parameters


def no_guess(_: Shapes) -> str:
    """Say nothing."""
    return ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """The network that an adapter is for.

    Attributes:
      names: its tensors by their published names.
      shapes: of its parameters, by path.
      guess: describes the network that factors of these shapes are for.
      is_second: whether it is the second of two transformers.
    """

    names: Names
    shapes: Mapping[str, tuple[int, ...]]
    guess: Callable[[Shapes], str] = no_guess
    is_second: bool = False

    def shape(self, entry: Entry) -> tuple[int, ...]:
        """Return the shape of a tensor in the published layout."""
        return entry.file_shape(self.shapes[entry.path])


class Part(NamedTuple):
    """A tensor of a file."""

    name: str
    tensor: StoredTensor


# By module, as the file names it, and by part.
Parts = dict[str, dict[str, Part]]


def target_of(
    model: nnx.Module,
    table: Sequence[Entry] = (),
    guess: Callable[[Shapes], str] = no_guess,
    *,
    is_second: bool = False,
) -> Target:
    """Describe a network, which may be abstract.

    Args:
      model: the network.
      table: of its published layouts, one behind another; without, linear maps are
        named by their paths.
      guess: see `Target`.
      is_second: see `Target`.
    """
    shapes = {path: x.shape for path, x in flatten(parameters(model)).items()}
    maps = linears(model)
    entries = table or [e for path in maps for e in own_entries(path, maps[path])]
    return Target(names=Names(entries), shapes=shapes, guess=guess, is_second=is_second)


def entries_of(path: str, linear: Linear, table: Sequence[Entry]) -> list[Entry]:
    """Return the published maps that one kernel is made of."""
    if table:
        return [entry for entry in table if entry.path == f"{path}/kernel"]
    return list(own_entries(path, linear))


def own_entries(path: str, linear: Linear) -> Iterator[Entry]:
    """Name the maps of a kernel by its path, a number for each layer."""
    kernel = linear.kernel.shape
    layers = len(kernel) - len(linear.axes)
    out = kernel[layers + 1 :]
    flat = Transform(
        lambda x: x.reshape(x.shape[0], *out), lambda x: x.reshape(x.shape[0], -1)
    )
    for layer in np.ndindex(*kernel[:layers]):
        first, *others = path.split("/")
        name = ".".join([first, *map(str, layer), *others])
        index = (*map(int, layer), ALL) if layers else ()
        yield Entry(
            name=f"{name}.weight",
            path=f"{path}/kernel",
            index=index,
            transform=chain(LINEAR, flat),
        )

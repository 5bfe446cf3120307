"""Others' weights into our parameters and back, as a table says.

Import: the headers of the files are held against the table, then empty parameters are
made where they belong on the mesh, and filled tensor by tensor. At no time is more
than one tensor held beside them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from sora_jax.sharding import nest
from sora_jax.types import AnyArray
from sora_jax.weights import native, shards
from sora_jax.weights.table import Entry, Index

Shapes = Mapping[str, jax.ShapeDtypeStruct]


def check(
    where: str,
    table: Sequence[Entry],
    stored: Mapping[str, shards.Stored],
    ours: Shapes,
) -> None:
    """Hold what is stored against what a table expects.

    Raises:
      ValueError: lists every tensor that is missing, unexpected or of another shape.
    """
    wanted = {entry.name: entry.their_shape(ours[entry.path].shape) for entry in table}
    misshapen = (
        f"{name}: {list(stored[name].shape)} in the file, {list(wanted[name])} wanted"
        for name in stored.keys() & wanted.keys()
        if stored[name].shape != wanted[name]
    )
    problems = [
        *native.listed("missing", wanted.keys() - stored.keys()),
        *native.listed("unexpected", stored.keys() - wanted.keys()),
        *native.listed("of another shape", misshapen),
    ]
    if problems:
        raise ValueError(
            f"weights {where!r} are not those of the model that its config describes:\n"
            + "\n".join(problems)
        )


def load(
    where: str,
    table: Sequence[Entry],
    stored: Mapping[str, shards.Stored],
    ours: Shapes,
) -> dict[str, Any]:
    """Read every tensor of a table into our parameters.

    Args:
      where: the folder, for messages.
      table: the model's tensors.
      stored: where they lie.
      ours: shape, dtype and (perhaps) sharding of our parameters, by path.

    Returns:
      Our parameters as nested dicts.

    Raises:
      ValueError: the files hold other tensors than the table.
    """
    check(where, table, stored, ours)
    entries = {entry.name: entry for entry in table}
    params: dict[str, Array] = {}
    for name, tensor in shards.tensors({name: stored[name] for name in entries}):
        entry = entries[name]
        wanted = ours[entry.path]
        if entry.path not in params:
            params[entry.path] = jnp.zeros(
                wanted.shape, wanted.dtype, device=wanted.sharding
            )
        whole = params[entry.path]
        starts, sizes = window(entry.index, whole.shape)
        params[entry.path] = write(whole, tensor, starts, entry.turn.ours, sizes)
    return nest({tuple(path.split("/")): value for path, value in params.items()})


def window(
    index: Index, shape: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Where the part of an array begins that an index names, and its extent."""
    whole = [*index, *[slice(None)] * (len(shape) - len(index))]
    starts = tuple(item if isinstance(item, int) else 0 for item in whole)
    sizes = tuple(
        1 if isinstance(item, int) else size
        for item, size in zip(whole, shape, strict=True)
    )
    return starts, sizes


@partial(jax.jit, donate_argnums=0, static_argnums=(3, 4))
def write(
    whole: Array,
    tensor: AnyArray,
    starts: Any,
    turn: Callable[[Any], Any],
    sizes: tuple[int, ...],
) -> Array:
    """Turn a tensor and write it into its place; compiled, since transposing is slow.

    Args:
      whole: our parameter, which is used up.
      tensor: a part of it, as it lies in the file.
      starts: where the part begins.
      turn: from the file's axes to ours.
      sizes: the extent of the part.
    """
    part = turn(jnp.asarray(tensor)).reshape(sizes).astype(whole.dtype)
    return jax.lax.dynamic_update_slice(whole, part, starts)


def export(
    table: Sequence[Entry], params: Mapping[str, Any]
) -> Iterator[tuple[str, np.ndarray]]:
    """Our parameters as the tensors of a table, one by one.

    Args:
      table: the model's tensors.
      params: our parameters by path.
    """
    groups: dict[str, list[Entry]] = defaultdict(list)
    for entry in table:
        groups[entry.path].append(entry)
    for path, entries in groups.items():
        whole = np.asarray(params[path])
        for entry in entries:
            yield (
                entry.name,
                np.ascontiguousarray(entry.turn.theirs(whole[entry.index])),
            )

"""Where parameters, what follows them, and batches lie; and what cannot be shared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from sora_jax.sharding.hosts import host_share
from sora_jax.sharding.mesh_plan import size, spec


def parameter_shardings(module: nnx.Module, mesh: Mesh) -> dict[str, Any]:
    """The sharding of every parameter of a (possibly abstract) module, as a dict.

    An axis that the mesh does not divide stays whole on every device.
    """

    def place(path: tuple, variable: nnx.Variable) -> NamedSharding:
        axes = variable.get_metadata().get("axes")
        value = variable.get_value()
        if axes is None:
            raise ValueError(f"parameter {path} names no logical axes")
        # Stacked blocks have a leading axis that their layers do not know of.
        axes = ("layers",) * (value.ndim - len(axes)) + tuple(axes)
        return NamedSharding(mesh, spec(axes, value.shape))

    state = nnx.state(module)
    placed = {path: place(path, leaf) for path, leaf in nnx.to_flat_state(state)}
    return nest(placed)


def like_parameters(state: Any, placed: Mapping[str, Any], mesh: Mesh) -> Any:
    """Shardings of a state: what follows a parameter lies where the parameter does.

    Args:
      state: any tree; a leaf whose path ends in a parameter's path follows that
        parameter (its average, its moments), unless it has fewer axes.
      placed: the parameters' shardings.
      mesh: where the others are replicated.
    """
    leaves = jax.tree_util.tree_leaves_with_path(placed)
    paths = {_keys(path): leaf for path, leaf in leaves}

    def place(path: tuple, leaf: Any) -> NamedSharding:
        keys = _keys(path)
        for start in range(len(keys)):
            found = paths.get(keys[start:])
            if found is not None and len(found.spec) <= len(leaf.shape):
                return found
        return NamedSharding(mesh, PartitionSpec())

    return jax.tree_util.tree_map_with_path(place, state)


def _keys(path: tuple) -> tuple:
    return tuple(getattr(entry, "key", str(entry)) for entry in path)


def nest(flat: Mapping[tuple, Any]) -> dict[str, Any]:
    """Turn {(a, b): x} into {a: {b: x}}."""
    tree: dict[str, Any] = {}
    for path, leaf in flat.items():
        *parents, last = path
        branch = tree
        for name in parents:
            branch = branch.setdefault(name, {})
        branch[last] = leaf
    return tree


def check_batch(name: str, rows: int, mesh: Mesh) -> None:
    """Refuse a batch that the mesh or the hosts cannot share evenly.

    Raises:
      ValueError: names the field, or the mesh whose hosts share rows unevenly.
    """
    (axes,) = spec(("batch",))
    axes = (axes,) if isinstance(axes, str) else axes or ()
    shards = math.prod(mesh.shape[axis] for axis in axes)
    host_share(mesh)
    if rows % shards:
        raise ValueError(
            f"{name} must be a multiple of {shards}, the mesh's {' x '.join(axes)}, "
            f"got {rows}: try {max(shards, rows // shards * shards)}"
        )


def check_shares(name: str, length: int, axis: str) -> None:
    """Refuse a length that the devices of a logical axis cannot share evenly.

    Raises:
      ValueError: names the field.
    """
    shares = size(axis)
    if length % shares:
        near = max(1, round(length / shares)) * shares
        raise ValueError(
            f"{name} must be a multiple of {shares}, the devices that share {axis}, "
            f"got {length}: try {near}, or a mesh that divides it"
        )


def to_device(batch: Any, mesh: Mesh) -> Any:
    """Place a host's part of a batch; the leading axis is the batch axis."""

    def place(x: np.ndarray) -> Array:
        axes = ("batch",) + (None,) * (x.ndim - 1)
        return jax.make_array_from_process_local_data(
            NamedSharding(mesh, spec(axes)), x
        )

    return jax.tree.map(place, batch)

"""Shardings of parameters, training states and batches, with their checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from flax.traverse_util import unflatten_dict
from jax.sharding import NamedSharding
from jaxtyping import Array

from sora_jax.sharding.hosts import host_share
from sora_jax.sharding.mesh_plan import MeshPlan


def parameter_shardings(module: nnx.Module, mesh_plan: MeshPlan) -> dict[str, Any]:
    """Return the sharding of every parameter of a (possibly abstract) module.

    An axis that its mesh axes do not divide is replicated.
    """

    def sharding_of(path: tuple, variable: nnx.Variable) -> NamedSharding | None:
        axes = variable.get_metadata().get("axes")
        value = variable.get_value()
        if axes is None:
            raise ValueError(f"parameter {path} names no logical axes")
        # Stacked blocks have an additional leading axis.
        axes = ("layers",) * (value.ndim - len(axes)) + tuple(axes)
        return mesh_plan.sharding(axes, value.shape)

    flat = nnx.to_flat_state(nnx.state(module))
    return unflatten_dict({path: sharding_of(path, leaf) for path, leaf in flat})


def state_shardings(
    state: Any, parameters: Mapping[str, Any], mesh_plan: MeshPlan
) -> Any:
    """Return the shardings of a training state, whose leaves follow their parameters.

    Args:
      state: any tree; a leaf whose path ends in a parameter's path follows that
        parameter (its average, its moments), unless it has fewer axes. All others are
        replicated.
      parameters: the parameters' shardings.
      mesh_plan: of the run.
    """
    leaves = jax.tree_util.tree_leaves_with_path(parameters)
    by_path = {_keys(path): leaf for path, leaf in leaves}

    def sharding_of(path: tuple, leaf: Any) -> NamedSharding | None:
        keys = _keys(path)
        for start in range(len(keys)):
            found = by_path.get(keys[start:])
            if found is not None and len(found.spec) <= len(leaf.shape):
                return found
        return mesh_plan.sharding(())

    return jax.tree_util.tree_map_with_path(sharding_of, state)


def _keys(path: tuple) -> tuple:
    return tuple(getattr(entry, "key", str(entry)) for entry in path)


def check_batch(name: str, rows: int, mesh_plan: MeshPlan) -> None:
    """Check that the mesh and the hosts divide a batch evenly.

    Raises:
      ValueError: names the field, or the mesh whose hosts share rows unevenly.
    """
    shares = mesh_plan.size("batch")
    host_share(mesh_plan)
    if rows % shares:
        axes = " x ".join(mesh_plan.mesh_axes("batch"))
        raise ValueError(
            f"{name} must be a multiple of {shares}, the mesh's {axes}, "
            f"got {rows}: try {max(shares, rows // shares * shares)}"
        )


def check_shares(name: str, length: int, axis: str, mesh_plan: MeshPlan) -> None:
    """Check that the devices of a logical axis divide a length evenly.

    Raises:
      ValueError: names the field.
    """
    shares = mesh_plan.size(axis)
    if length % shares:
        near = max(1, round(length / shares)) * shares
        raise ValueError(
            f"{name} must be a multiple of {shares}, the devices that share {axis}, "
            f"got {length}: try {near}, or a mesh that divides it"
        )


def to_device(batch: Any, mesh_plan: MeshPlan) -> Any:
    """Place a host's part of a batch on its devices; the leading axis is the batch."""

    def put(x: np.ndarray) -> Array:
        sharding = mesh_plan.sharding(("batch",) + (None,) * (x.ndim - 1))
        if sharding is None:
            return jnp.asarray(x)
        return jax.make_array_from_process_local_data(sharding, x)

    return jax.tree.map(put, batch)

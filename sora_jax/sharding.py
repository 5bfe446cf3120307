"""The mesh, the one table from logical to mesh axes, and the constraint helper.

Models name logical axes; the config alone says which mesh axes they lie on (`RULES`)
and how long those are. Nothing else in the package knows a mesh axis by name.
"""

from __future__ import annotations

import contextlib
import contextvars
import math
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

Rules = tuple[tuple[str, str | tuple[str, ...] | None], ...]

AXES = ("data", "fsdp", "context", "tensor")

_RULES: contextvars.ContextVar[Rules] = contextvars.ContextVar("rules", default=())


def make_mesh(shape: Mapping[str, int], devices: list | None = None) -> Mesh:
    """Build the mesh; one axis may be -1 and takes the devices that are left.

    Raises:
      ValueError: when the shape does not multiply to the number of devices.
    """
    devices = jax.devices() if devices is None else devices
    unknown = sorted(set(shape) - set(AXES))
    if unknown:
        raise ValueError(f"mesh has no axis {unknown}; its axes are {list(AXES)}")
    asked = [shape.get(axis, 1) for axis in AXES]
    known = math.prod(size for size in asked if size != -1)
    sizes = [len(devices) // known if size == -1 else size for size in asked]
    if math.prod(sizes) != len(devices):
        others = "a divisor of" if -1 in asked else "exactly"
        raise ValueError(
            f"mesh {dict(zip(AXES, asked, strict=True))} must multiply to {others} the "
            f"{len(devices)} devices present, got {known}: change --config.mesh.*"
        )
    return jax.make_mesh(
        sizes, AXES, axis_types=(AxisType.Auto,) * len(AXES), devices=devices
    )


@contextlib.contextmanager
def use(mesh: Mesh, rules: Rules) -> Iterator[Mesh]:
    """Make the mesh and the rules current for the code inside."""
    token = _RULES.set(rules)
    try:
        with jax.set_mesh(mesh):
            yield mesh
    finally:
        _RULES.reset(token)


def spec(axes: tuple[str | None, ...]) -> PartitionSpec:
    """Translate logical axes to mesh axes by the current rules."""
    table = dict(_RULES.get())
    return PartitionSpec(*(table.get(axis) if axis else None for axis in axes))


def constrain(x: Array, *axes: str | None) -> Array:
    """Ask for the sharding of an activation; without a mesh, do nothing."""
    if jax.sharding.get_abstract_mesh().empty or not _RULES.get():
        return x
    return jax.lax.with_sharding_constraint(x, spec(axes))


def parameter_shardings(module: nnx.Module, mesh: Mesh) -> dict[str, Any]:
    """The sharding of every parameter of a (possibly abstract) module, as a dict."""

    def place(path: tuple, variable: nnx.Variable) -> NamedSharding:
        axes = variable.get_metadata().get("axes")
        value = variable.get_value()
        if axes is None:
            raise ValueError(f"parameter {path} names no logical axes")
        # Stacked blocks have a leading axis that their layers do not know of.
        axes = ("layers",) * (value.ndim - len(axes)) + tuple(axes)
        return NamedSharding(mesh, spec(axes))

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
      ValueError: names the field, and the mesh where hosts would share one shard.
    """
    (axes,) = spec(("batch",))
    axes = (axes,) if isinstance(axes, str) else axes or ()
    shards, hosts = math.prod(mesh.shape[axis] for axis in axes), jax.process_count()
    if shards % hosts:
        raise ValueError(
            f"mesh: {' x '.join(axes)} must be a multiple of the {hosts} hosts, got "
            f"{shards}: raise mesh.data or mesh.fsdp, or lower the other axes"
        )
    if rows % shards:
        raise ValueError(
            f"{name} must be a multiple of {shards}, the mesh's {' x '.join(axes)}, "
            f"got {rows}: try {max(shards, rows // shards * shards)}"
        )


def to_device(batch: Any, mesh: Mesh) -> Any:
    """Place a host's part of a batch; the leading axis is the batch axis."""

    def place(x: np.ndarray) -> Array:
        axes = ("batch",) + (None,) * (x.ndim - 1)
        return jax.make_array_from_process_local_data(
            NamedSharding(mesh, spec(axes)), x
        )

    return jax.tree.map(place, batch)

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
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

Rules = tuple[tuple[str, str | tuple[str, ...] | None], ...]

# What the config calls the axes, and what they are: the devices that share the tokens
# of a row exchange heads in groups (Ulysses), and the groups form a ring.
NAMES = ("data", "fsdp", "context", "tensor")
AXES = ("data", "fsdp", "ring", "ulysses", "tensor")
# Of the mesh on which devices share frames, and not tokens.
FRAME_AXES = ("copy", "height", "width")

_RULES: contextvars.ContextVar[Rules] = contextvars.ContextVar("rules", default=())


def make_mesh(
    shape: Mapping[str, int], devices: list | None = None, heads: int = 0
) -> Mesh:
    """Build the mesh of a `MeshConfig`'s fields.

    One of the four sizes may be -1 and takes the devices that are left. Devices of
    several slices are told apart by themselves; `data_slices` and `fsdp_slices` say how
    many of them lie along an axis.

    Args:
      shape: the fields.
      devices: by default, all that are here.
      heads: of attention, for Ulysses to divide.

    Raises:
      ValueError: the shape does not multiply to the devices, or to their slices.
    """
    devices = jax.devices() if devices is None else devices
    fields = (*NAMES, "ulysses", "data_slices", "fsdp_slices")
    unknown = sorted(set(shape) - set(fields))
    if unknown:
        raise ValueError(f"mesh has no axis {unknown}; its fields are {list(fields)}")
    asked = [shape.get(axis, 1) for axis in NAMES]
    known = math.prod(size for size in asked if size != -1)
    sizes = [len(devices) // known if size == -1 else size for size in asked]
    if math.prod(sizes) != len(devices):
        others = "a divisor of" if -1 in asked else "exactly"
        raise ValueError(
            f"mesh {dict(zip(NAMES, asked, strict=True))} must multiply to {others} "
            f"the {len(devices)} devices present, got {known}: change its axes"
        )
    data, fsdp, context, tensor = sizes
    ulysses = shape.get("ulysses", -1)
    if ulysses == -1:
        ulysses = math.gcd(context, heads // tensor)  # gcd(n, 0) is n
    if context % ulysses:
        raise ValueError(
            f"mesh.ulysses must divide mesh.context ({context}), got {ulysses}"
        )
    slices = (shape.get("data_slices", 1), shape.get("fsdp_slices", 1))
    return _lay((data, fsdp, context // ulysses, ulysses, tensor), slices, devices)


def _lay(shape: tuple[int, ...], slices: tuple[int, int], devices: list) -> Mesh:
    """Lay devices out so that neighbours in the mesh are neighbours in the machine."""
    found = len({getattr(device, "slice_index", None) for device in devices})
    across = (*slices, 1, 1, 1)
    if math.prod(slices) != found or any(
        size % count for size, count in zip(shape, across, strict=True)
    ):
        raise ValueError(
            f"mesh.data_slices and mesh.fsdp_slices must multiply to the {found} "
            f"slices present and divide data and fsdp ({shape[0]} and {shape[1]}), got "
            f"{slices[0]} and {slices[1]}"
        )
    options = {"devices": devices, "allow_split_physical_axes": True}
    if found == 1:
        laid = mesh_utils.create_device_mesh(shape, **options)
    else:
        inside = [size // count for size, count in zip(shape, across, strict=True)]
        laid = mesh_utils.create_hybrid_device_mesh(inside, across, **options)
    return Mesh(laid, AXES, axis_types=(AxisType.Auto,) * len(AXES))


@contextlib.contextmanager
def use(mesh: Mesh, rules: Rules) -> Iterator[Mesh]:
    """Make the mesh and the rules current for the code inside."""
    token = _RULES.set(rules)
    try:
        with jax.set_mesh(mesh):
            yield mesh
    finally:
        _RULES.reset(token)


@contextlib.contextmanager
def on_paper() -> Iterator[None]:
    """Trace the code inside as for one device, whatever mesh is current."""
    token = _RULES.set(())
    try:
        yield
    finally:
        _RULES.reset(token)


def spec(
    axes: tuple[str | None, ...], shape: tuple[int, ...] | None = None
) -> PartitionSpec:
    """Translate logical axes to mesh axes by the current rules.

    Args:
      axes: logical names.
      shape: of the array, where what the mesh cannot divide is to stay whole.
    """
    table = dict(_RULES.get())
    found = [table.get(axis) if axis else None for axis in axes]
    if shape is not None:
        found = [
            None if length % _extent(axis) else axis
            for axis, length in zip(found, shape, strict=True)
        ]
    return PartitionSpec(*found)


def _extent(axes: str | tuple[str, ...] | None) -> int:
    """How many devices lie along mesh axes."""
    axes = (axes,) if isinstance(axes, str) else axes or ()
    return math.prod(jax.sharding.get_abstract_mesh().shape[axis] for axis in axes)


def is_active() -> bool:
    """Whether a mesh and its rules are current."""
    return not jax.sharding.get_abstract_mesh().empty and bool(_RULES.get())


def devices() -> int:
    """How many devices the current mesh has."""
    return jax.sharding.get_abstract_mesh().size


def size(axis: str) -> int:
    """How many devices share a logical axis."""
    return _extent(dict(_RULES.get()).get(axis)) if is_active() else 1


def round_up(length: int, axis: str) -> int:
    """The least length, of at least so many, that a logical axis' devices share."""
    return math.ceil(length / size(axis)) * size(axis)


def context_axes() -> tuple[str | None, str | None]:
    """The mesh axes that share tokens: rings', and Ulysses'; None for one device."""
    found = dict(_RULES.get()).get("tokens") or ()
    axes = (found,) if isinstance(found, str) else found
    if not set(axes) <= {"ring", "ulysses"}:
        raise ValueError(f"rules: tokens must lie along ring and ulysses, got {found}")
    ring, ulysses = (
        name if name in axes and _extent(name) > 1 else None
        for name in ("ring", "ulysses")
    )
    return ring, ulysses


def platform() -> str:
    """What is compiled for: "cpu", "gpu" or "tpu"; a mesh may be of another machine."""
    device = jax.sharding.get_abstract_mesh().abstract_device
    if device is None:
        return jax.default_backend()
    kind = device.device_kind.lower()
    return "tpu" if "tpu" in kind else "cpu" if "cpu" in kind else "gpu"


def frames_mesh(rows: int, columns: int) -> Mesh:
    """The current mesh's devices anew, so that they share the cells of a frame.

    Where not all of them can, several do the same.

    Args:
      rows: cells along the height.
      columns: cells along the width.
    """
    mesh = jax.sharding.get_mesh()
    devices = mesh.devices.reshape(-1, *frame_grid(rows, columns, mesh.size))
    return Mesh(devices, FRAME_AXES, axis_types=(AxisType.Auto,) * 3)


def frame_grid(rows: int, columns: int, devices: int) -> tuple[int, int]:
    """The largest grid of devices that divides cells evenly, as square as may be."""
    grids = [
        (high, wide)
        for high in range(1, math.gcd(rows, devices) + 1)
        for wide in range(1, math.gcd(columns, devices) + 1)
        if not (rows % high or columns % wide or devices % (high * wide))
    ]
    return max(grids, key=lambda grid: (grid[0] * grid[1], -sum(grid)))


def put(x: Any, *axes: str | None) -> Array:
    """Place an array of the host by its logical axes; without a mesh, on the device."""
    if not is_active():
        return jnp.asarray(x)
    return jax.device_put(x, spec(axes, x.shape))


def constrain(x: Array, *axes: str | None) -> Array:
    """Ask for the sharding of an activation; without a mesh, do nothing."""
    if not is_active():
        return x
    return jax.lax.with_sharding_constraint(x, spec(axes, x.shape))


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
            f"got {length}: try {near}"
        )


def to_device(batch: Any, mesh: Mesh) -> Any:
    """Place a host's part of a batch; the leading axis is the batch axis."""

    def place(x: np.ndarray) -> Array:
        axes = ("batch",) + (None,) * (x.ndim - 1)
        return jax.make_array_from_process_local_data(
            NamedSharding(mesh, spec(axes)), x
        )

    return jax.tree.map(place, batch)

"""Build meshes from configs."""

from __future__ import annotations

import math
from collections.abc import Mapping

import jax
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh

# The config's axes, and the mesh's: `context` is split into groups that exchange heads
# (ulysses), which form a ring.
NAMES = ("data", "fsdp", "context", "tensor")
AXES = ("data", "fsdp", "ring", "ulysses", "tensor")
# The axes of the mesh on which devices share frames, and not tokens.
FRAME_AXES = ("copy", "height", "width")


def make_mesh(
    shape: Mapping[str, int], devices: list | None = None, heads: int = 0
) -> Mesh:
    """Build the mesh of a `MeshConfig`'s fields.

    One of the four sizes may be -1 and takes the devices that are left. `data_slices`
    and `fsdp_slices` say how many slices lie along an axis.

    Args:
      shape: the fields.
      devices: by default all.
      heads: of attention; `ulysses` -1 is the largest size that divides them.

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
        if heads and heads % tensor:
            raise ValueError(
                f"mesh.tensor must divide the {heads} heads of attention, got {tensor}"
            )
        ulysses = math.gcd(context, heads // tensor)  # gcd(n, 0) is n
    if context % ulysses:
        raise ValueError(
            f"mesh.ulysses must divide mesh.context ({context}), got {ulysses}"
        )
    slices = (shape.get("data_slices", 1), shape.get("fsdp_slices", 1))
    return _order((data, fsdp, context // ulysses, ulysses, tensor), slices, devices)


def _order(shape: tuple[int, ...], slices: tuple[int, int], devices: list) -> Mesh:
    """Order devices so that neighbours in the mesh are neighbours in the machine."""
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


def frames_mesh(mesh: Mesh, rows: int, columns: int) -> Mesh:
    """Rearrange a mesh's devices to share the cells of a frame.

    If the cells do not divide among all devices, several compute the same.

    Args:
      mesh: whose devices they are.
      rows: cells along the height.
      columns: cells along the width.
    """
    devices = mesh.devices.reshape(-1, *frame_grid(rows, columns, mesh.size))
    return Mesh(devices, FRAME_AXES, axis_types=(AxisType.Auto,) * 3)


def frame_grid(rows: int, columns: int, devices: int) -> tuple[int, int]:
    """Return the largest, most square grid of devices that divides cells evenly."""
    grids = [
        (high, wide)
        for high in range(1, math.gcd(rows, devices) + 1)
        for wide in range(1, math.gcd(columns, devices) + 1)
        if not (rows % high or columns % wide or devices % (high * wide))
    ]
    return max(grids, key=lambda grid: (grid[0] * grid[1], -sum(grid)))

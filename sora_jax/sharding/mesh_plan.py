"""`MeshPlan`: a mesh and the rules from logical to mesh axes, resolved once.

A program builds one plan and passes it down. Code that depends on the mesh (kernel,
ring, padding of rows) reads the plan, never global state. The default plan, for a
single device, does nothing.
"""

from __future__ import annotations

import dataclasses
import math
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from sora_jax.config.training import FRAME_RULES, Rules
from sora_jax.sharding.arrays import place
from sora_jax.sharding.meshes import frames_mesh

Axes = tuple[str | None, ...]
# The logical axis along which parameters are sharded, and gathered for use.
STORED = "embed"


@dataclasses.dataclass(frozen=True)
class MeshPlan:
    """A mesh and its rules; hashable, so that it can be a static argument of jit.

    Attributes:
      mesh: of the devices; None for a single device.
      rules: (logical axis, mesh axes) pairs.
    """

    mesh: Mesh | None = None
    rules: Rules = ()

    def __post_init__(self):
        present = set() if self.mesh is None else set(self.mesh.axis_names)
        for logical, _ in self.rules:
            axes = self.mesh_axes(logical)
            if self.mesh is not None and not present.issuperset(axes):
                raise ValueError(
                    f"rules: {logical} must lie along axes of the mesh "
                    f"{sorted(present)}, got {axes}"
                )
        axes = self.mesh_axes("tokens")
        if not {"ring", "ulysses"}.issuperset(axes):
            raise ValueError(
                f"rules: tokens must lie along ring and ulysses, got {axes}"
            )

    @property
    def is_sharded(self) -> bool:
        """Whether there is a mesh, perhaps of one device."""
        return self.mesh is not None

    @property
    def devices(self) -> int:
        """Number of devices."""
        return 1 if self.mesh is None else self.mesh.size

    @cached_property
    def platform(self) -> str:
        """The target platform, perhaps of another machine: "cpu", "gpu" or "tpu"."""
        if self.mesh is None:
            return jax.default_backend()
        return self.mesh.devices.flat[0].platform

    @cached_property
    def device_kind(self) -> str:
        """The vendor's name of the devices."""
        mesh = self.mesh
        first = jax.devices()[0] if mesh is None else mesh.devices.flat[0]
        return first.device_kind

    @property
    def ring_axis(self) -> str | None:
        """The mesh axis of ring attention; None without one."""
        return self._used("ring")

    @property
    def ulysses_axis(self) -> str | None:
        """The mesh axis of Ulysses; None without one."""
        return self._used("ulysses")

    def _used(self, axis: str) -> str | None:
        is_used = axis in self.mesh_axes("tokens") and self._extent((axis,)) > 1
        return axis if is_used else None

    def mesh_axes(self, axis: str | None) -> tuple[str, ...]:
        """Return the mesh axes of a logical axis."""
        found = dict(self.rules).get(axis) if axis else None
        return (found,) if isinstance(found, str) else found or ()

    def _extent(self, mesh_axes: tuple[str, ...]) -> int:
        if self.mesh is None:
            return 1
        return math.prod(self.mesh.shape[axis] for axis in mesh_axes)

    def size(self, axis: str) -> int:
        """Return the number of shards of a logical axis."""
        return self._extent(self.mesh_axes(axis))

    def round_up(self, length: int, axis: str) -> int:
        """Round a length up to a multiple of `size(axis)`."""
        return math.ceil(length / self.size(axis)) * self.size(axis)

    def spec(self, axes: Axes, shape: tuple[int, ...] | None = None) -> PartitionSpec:
        """Translate logical axes to mesh axes.

        Args:
          axes: logical names; None for a replicated axis.
          shape: of the array; if given, axes not divisible by their devices are
            replicated.
        """
        table = dict(self.rules)
        found = [table.get(axis) if axis else None for axis in axes]
        if shape is not None:
            found = [
                mesh_axes if axis and length % self.size(axis) == 0 else None
                for axis, mesh_axes, length in zip(axes, found, shape, strict=True)
            ]
        return PartitionSpec(*found)

    def sharding(
        self, axes: Axes, shape: tuple[int, ...] | None = None
    ) -> NamedSharding | None:
        """The sharding of an array by its logical axes (see `spec`), or None."""
        if self.mesh is None:
            return None
        return NamedSharding(self.mesh, self.spec(axes, shape))

    def for_frames(self, rows: int, columns: int) -> MeshPlan:
        """Rearrange the devices to share frames of rows x columns cells."""
        if self.mesh is None:
            return self
        return MeshPlan(frames_mesh(self.mesh, rows, columns), FRAME_RULES)

    def put(self, x: Any, *axes: str | None) -> Array:
        """Place a host array on the devices by its logical axes."""
        if self.mesh is None:
            return jnp.asarray(x)
        return place(x, self.sharding(axes, x.shape))

    def constrain(self, x: Array, *axes: str | None) -> Array:
        """Constrain the sharding of an activation by its logical axes."""
        if self.mesh is None:
            return x
        return jax.lax.with_sharding_constraint(x, self.sharding(axes, x.shape))

    def gather(self, parameter: Array, axes: Axes) -> Array:
        """All-gather a sharded parameter before use; its gradient is reduce-scattered.

        Otherwise XLA may instead all-reduce partial products, which are as large as
        activations.
        """
        return parameter if self.mesh is None else _gather(parameter, axes, self)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _gather(parameter: Array, axes: Axes, mesh_plan: MeshPlan) -> Array:
    whole = (None if axis == STORED else axis for axis in axes)
    return mesh_plan.constrain(parameter, *whole)


def _gather_forward(
    parameter: Array, axes: Axes, mesh_plan: MeshPlan
) -> tuple[Array, None]:
    return _gather(parameter, axes, mesh_plan), None


def _scatter_backward(
    axes: Axes, mesh_plan: MeshPlan, _: None, gradient: Array
) -> tuple[Array]:
    return (mesh_plan.constrain(gradient, *axes),)


_gather.defvjp(_gather_forward, _scatter_backward)

SINGLE_DEVICE = MeshPlan()

"""The current mesh and rules: from logical axes to places, and what follows."""

from __future__ import annotations

import contextlib
import contextvars
import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from sora_jax.config.training import Rules
from sora_jax.sharding.arrays import place

_RULES: contextvars.ContextVar[Rules] = contextvars.ContextVar("rules", default=())
# The axis along which parameters are stored in parts, and gathered to be used.
STORED = "embed"


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
def without_mesh() -> Iterator[None]:
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
    """How many devices the current mesh has; one without a mesh."""
    return max(1, jax.sharding.get_abstract_mesh().size)


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


def put(x: Any, *axes: str | None) -> Array:
    """Place an array of the host by its logical axes; without a mesh, on the device."""
    if not is_active():
        return jnp.asarray(x)
    where = NamedSharding(jax.sharding.get_mesh(), spec(axes, x.shape))
    return place(x, where)


def constrain(x: Array, *axes: str | None) -> Array:
    """Ask for the sharding of an activation; without a mesh, do nothing."""
    if not is_active():
        return x
    return jax.lax.with_sharding_constraint(x, spec(axes, x.shape))


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def gathered(parameter: Array, axes: tuple[str | None, ...]) -> Array:
    """A parameter that is stored in parts, whole for use; without a mesh, as it is.

    Left to itself, XLA may add up partial products of the parts, as large as what they
    are multiplied with, instead. The gradient is added up where its part is stored.
    """
    return constrain(parameter, *(None if axis == STORED else axis for axis in axes))


def _gathered(parameter: Array, axes: tuple[str | None, ...]) -> tuple[Array, None]:
    return gathered(parameter, axes), None


def _scattered(axes: tuple[str | None, ...], _: None, gradient: Array) -> tuple[Array]:
    return (constrain(gradient, *axes),)


gathered.defvjp(_gathered, _scattered)

"""Available device memory, and whether networks fit into it."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import jax

from sora_jax import host_memory, sharding
from sora_jax.host_memory import gib
from sora_jax.sharding import SINGLE_DEVICE, MeshPlan

_logger = logging.getLogger(__name__)

# Share of memory for weights; the rest is for activations.
WEIGHTS_SHARE = 0.8


def available(mesh_plan: MeshPlan = SINGLE_DEVICE) -> int | float:
    """Return the free bytes on each device of a mesh, or on the first device."""
    here, mesh = jax.local_devices(), mesh_plan.mesh
    devices = here[:1] if mesh is None else set(here) & set(mesh.devices.flat)
    rooms = []
    for device in devices:
        statistics = device.memory_stats() or {}
        if "bytes_limit" not in statistics:
            # CPU devices share one memory.
            return of_host() / len(devices)
        rooms.append(statistics["bytes_limit"] - statistics.get("bytes_in_use", 0))
    return min(rooms)


def total_available() -> int | float:
    """Return the free bytes over the devices of all hosts."""
    if jax.local_devices()[0].platform == "cpu":
        return of_host() * jax.process_count()
    return available() * jax.device_count()


def of_host() -> int | float:
    """Return the bytes of host memory that this process may still allocate."""
    return host_memory.available()


def fits_together(
    sizes: Mapping[str, int], mesh_plan: MeshPlan = SINGLE_DEVICE
) -> bool:
    """Log the bytes of networks per device; return whether all fit together.

    Raises:
      ValueError: the largest network alone does not fit.
    """
    room = sharding.min_over_hosts(available(mesh_plan) * WEIGHTS_SHARE)
    listed = ", ".join(f"{name} {gib(size)}" for name, size in sizes.items())
    together = sum(sizes.values()) <= room
    how = "kept together" if together else "loaded in turn"
    _logger.info("weights: %s; %s, with room for %s", listed, how, gib(room))
    name, largest = max(sizes.items(), key=lambda item: item[1])
    if largest > room:
        raise ValueError(
            f"weights: the {name} takes {gib(largest)}, and there are {gib(room)} for "
            "weights: take a smaller model, or devices with more memory or more of "
            "them (--mesh)"
        )
    return together

"""How much memory there is, and what fits into it."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path

import jax
import psutil
from jax.sharding import Mesh

from sora_jax import sharding

_logger = logging.getLogger(__name__)

# Where Linux tells the limits of a container.
CGROUP = Path("/sys/fs/cgroup")
# Share of memory that weights may take; the rest is for what is computed with them.
WEIGHTS_SHARE = 0.8


def available(mesh: Mesh | None = None) -> int | float:
    """Bytes that arrays may take on each device of a mesh, or on the first one."""
    here = jax.local_devices()
    devices = here[:1] if mesh is None else set(here) & set(mesh.devices.flat)
    rooms = []
    for device in devices:
        statistics = device.memory_stats() or {}
        if "bytes_limit" not in statistics:
            # The devices of a CPU are parts of one memory.
            return of_host() / len(devices)
        rooms.append(statistics["bytes_limit"] - statistics.get("bytes_in_use", 0))
    return min(rooms)


def everywhere() -> int | float:
    """Bytes that arrays may take, over the devices of all hosts."""
    if jax.local_devices()[0].platform == "cpu":
        return of_host() * jax.process_count()
    return available() * jax.device_count()


def of_host() -> int | float:
    """Bytes that this process may still take of its host's memory."""
    return min(psutil.virtual_memory().available, in_container())


def in_container() -> int | float:
    """Bytes that the container of this process leaves it; infinite without one."""
    try:
        most, used = (
            (CGROUP / name).read_text().strip()
            for name in ("memory.max", "memory.current")
        )
        if most == "max":
            return math.inf
        return int(most) - max(0, int(used) - _given_up_when_asked())
    except (OSError, ValueError):
        return math.inf


def _given_up_when_asked() -> int:
    """Bytes that a container keeps of files that were read, and counts as used."""
    try:
        lines = (CGROUP / "memory.stat").read_text().splitlines()
        counts = dict(line.split() for line in lines)
        return int(counts["inactive_file"]) + int(counts["active_file"])
    except (OSError, ValueError, KeyError):
        return 0


def fits_together(sizes: Mapping[str, int], mesh: Mesh | None = None) -> bool:
    """Say what networks need of a device, and whether all may stay at once.

    Raises:
      ValueError: the largest does not fit by itself.
    """
    room = sharding.min_over_hosts(available(mesh) * WEIGHTS_SHARE)
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


def gib(size: int | float) -> str:
    """Bytes as people say them."""
    return f"{size / 2**30:.2f} GiB"

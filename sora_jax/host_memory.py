"""Free memory of the host for this process. Needs no JAX."""

from __future__ import annotations

import math
from pathlib import Path

import psutil

# Linux files with the limits of a container.
CGROUP = Path("/sys/fs/cgroup")


def available() -> int | float:
    """Return the bytes of host memory that this process may still allocate."""
    return min(psutil.virtual_memory().available, in_container())


def in_container() -> int | float:
    """Return the free bytes of this process's container; infinite without one."""
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
    """Return the bytes of file cache, which a container counts as used."""
    try:
        lines = (CGROUP / "memory.stat").read_text().splitlines()
        counts = dict(line.split() for line in lines)
        return int(counts["inactive_file"]) + int(counts["active_file"])
    except (OSError, ValueError, KeyError):
        return 0


def gib(size: int | float) -> str:
    """Format bytes in GiB."""
    return f"{size / 2**30:.2f} GiB"

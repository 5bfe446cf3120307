"""How much memory the host leaves this process. Needs no JAX."""

from __future__ import annotations

import math
from pathlib import Path

import psutil

# Where Linux tells the limits of a container.
CGROUP = Path("/sys/fs/cgroup")


def available() -> int | float:
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


def gib(size: int | float) -> str:
    """Bytes as people say them."""
    return f"{size / 2**30:.2f} GiB"

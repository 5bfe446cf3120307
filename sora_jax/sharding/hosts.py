"""What several hosts do together: share a batch, fetch an array, agree."""

from __future__ import annotations

from collections.abc import Mapping, Set

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array

from sora_jax.sharding.rules import size, spec


def host_share(mesh: Mesh) -> tuple[int, int]:
    """Which part of a batch this host reads, of how many.

    Hosts whose devices share tokens read the same rows.

    Raises:
      ValueError: hosts would share some rows and not others.
    """
    shards = size("batch")
    places = NamedSharding(mesh, spec(("batch",))).devices_indices_map((shards,))
    rows: dict[int, set[int]] = {}
    for device, (part,) in places.items():
        rows.setdefault(device.process_index, set()).add(part.start or 0)
    return share_of(jax.process_index(), rows)


def share_of(host: int, rows: Mapping[int, Set[int]]) -> tuple[int, int]:
    """The same, from the rows of each host's devices."""
    parts = sorted({tuple(sorted(part)) for part in rows.values()})
    sizes = [len(part) for part in parts]
    if sum(sizes) > len(set().union(*parts)) or len(set(sizes)) > 1:
        raise ValueError(
            f"mesh: the {len(rows)} hosts must read either the same rows of a batch or "
            f"others, got {parts}: let mesh.context x mesh.tensor divide the devices "
            "of a host, or be a multiple of them"
        )
    return parts.index(tuple(sorted(rows[host]))), len(parts)


def fetch(x: Array) -> np.ndarray:
    """A whole array on every host, whoever holds its parts; all hosts call this."""
    if x.is_fully_addressable or x.is_fully_replicated:
        return np.asarray(x)
    return np.asarray(multihost_utils.process_allgather(x, tiled=True))


def agreed(value: int) -> int:
    """What the first host thinks; all hosts call this."""
    if jax.process_count() == 1:
        return value
    return int(multihost_utils.broadcast_one_to_all(np.asarray(value)))

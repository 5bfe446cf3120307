"""Several hosts: split a batch, exchange values, fail together."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Set

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from sora_jax.sharding.mesh_plan import MeshPlan

_any = jax.jit(jnp.any)


def host_share(mesh_plan: MeshPlan) -> tuple[int, int]:
    """Return this host's part of a batch and the number of parts.

    Hosts whose devices split the tokens of rows read the same rows.

    Raises:
      ValueError: the rows of two hosts overlap only partly.
    """
    sharding = mesh_plan.sharding(("batch",))
    if sharding is None:
        return 0, 1
    parts = sharding.devices_indices_map((mesh_plan.size("batch"),))
    rows: dict[int, set[int]] = {}
    for device, (part,) in parts.items():
        rows.setdefault(device.process_index, set()).add(part.start or 0)
    return share_of(jax.process_index(), rows)


def share_of(host: int, rows: Mapping[int, Set[int]]) -> tuple[int, int]:
    """Return a host's part and the number of parts, from the rows of each host."""
    parts = sorted({tuple(sorted(part)) for part in rows.values()})
    sizes = [len(part) for part in parts]
    if sum(sizes) > len(set().union(*parts)) or len(set(sizes)) > 1:
        raise ValueError(
            f"mesh: the {len(rows)} hosts must read either the same rows of a batch or "
            f"others, got {parts}: let mesh.context x mesh.tensor divide the devices "
            "of a host, or be a multiple of them"
        )
    return parts.index(tuple(sorted(rows[host]))), len(parts)


def from_first_host(value: int) -> int:
    """Broadcast the first host's integer (31 bits); all hosts call this."""
    if jax.process_count() == 1:
        return value
    return int(multihost_utils.broadcast_one_to_all(np.asarray(value)))


def min_over_hosts(value: float) -> float:
    """The minimum over hosts; all hosts call this."""
    return float(np.min(_all(value)))


def any_host(value: bool) -> bool | jax.Array:
    """Return whether a flag is set on any host; all hosts call this.

    With several hosts it is an array, so that reading it blocks, not this call.
    """
    if jax.process_count() == 1:
        return value
    votes = NamedSharding(Mesh(jax.devices(), ("devices",)), PartitionSpec("devices"))
    mine = np.full(jax.local_device_count(), value)
    return _any(jax.make_array_from_process_local_data(votes, mine))


@contextlib.contextmanager
def fail_together() -> Iterator[None]:
    """Raise on every host if the enclosed code fails on one, so that none hangs.

    The enclosed code must not wait for other hosts.

    Raises:
      ValueError: another host failed.
    """
    try:
        yield
    except BaseException:  # Ctrl-C and SIGTERM too: the others would wait
        _all(1.0)
        raise
    if failed := np.flatnonzero(_all(0.0)).tolist():
        raise ValueError(f"host {failed[0]} could not go on: see what it printed")


def _all(value: float) -> np.ndarray:
    """Gather a number from each host."""
    if jax.process_count() == 1:
        return np.array([value])
    return np.asarray(multihost_utils.process_allgather(np.float32(value)))

"""Move arrays from hosts to devices, and back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Sharding
from jaxtyping import Array


def place(x: Any, where: Sharding | None = None, **options: Any) -> Array:
    """Place an array that every host holds whole; each host places its shards.

    Args:
      x: an array of the host.
      where: the sharding; by default the first device.
      **options: of `jax.device_put`.
    """
    if where is None or where.is_fully_addressable:
        return jax.device_put(x, where, **options)
    # With several hosts `jax.device_put` would first compare the whole arrays.
    held = np.asarray(x)
    return jax.make_array_from_callback(held.shape, where, lambda part: held[part])


@contextlib.contextmanager
def on_host() -> Iterator[None]:
    """Create the arrays of the enclosed code on the host, not on an accelerator.

    Without JAX's CPU backend they are created on the first device.
    """
    try:
        host = jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        yield
        return
    with jax.default_device(host):
        yield


def fetch(x: Array) -> np.ndarray:
    """Fetch a whole array to every host; all hosts call this."""
    if x.is_fully_addressable or x.is_fully_replicated:
        return np.asarray(x)
    return np.asarray(multihost_utils.process_allgather(x, tiled=True))

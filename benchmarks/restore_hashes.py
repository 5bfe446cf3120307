"""What it costs to verify a checkpoint's hashes, as a share of restoring it.

Command:  python benchmarks/restore_hashes.py --megabytes 2000
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import tyro
from etils import epath

from sora_jax import manifest
from sora_jax.checkpoint import Checkpoints


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """Measure both in one process, in turns."""

    # Of the arrays that are saved.
    megabytes: int = 1000
    # Of each measurement.
    repeats: int = 5
    # Where the checkpoint lies; by default in a folder that is deleted.
    workdir: str = ""


def seconds(work: Callable[[], Any]) -> float:
    """How long something takes."""
    started = time.perf_counter()
    jax.block_until_ready(work())
    return time.perf_counter() - started


def measure(arguments: Arguments, workdir: str) -> None:
    """Save a state, then restore it and verify it again and again."""
    keys = jax.random.split(jax.random.key(0), 16)
    side = int((arguments.megabytes * 1e6 / 4 / len(keys)) ** 0.5)
    state = {str(i): jax.random.normal(key, (side, side)) for i, key in enumerate(keys)}
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), state)
    with Checkpoints(workdir) as checkpoints:
        checkpoints.save(1, {"params": state})
    folder = epath.Path(workdir) / "checkpoints" / "1"
    whole, alone = [], []
    with Checkpoints(workdir) as checkpoints:
        for _ in range(arguments.repeats):
            whole.append(
                seconds(lambda: checkpoints.restore(1, {"params": abstract}).state)
            )
            alone.append(
                seconds(lambda: (manifest.damage(folder), manifest.changes(folder)))
            )
    size = sum(x.nbytes for x in jax.tree.leaves(state)) / 1e9
    restore, verify = median(whole), median(alone)
    print(
        f"{size:.2f} GB: restore {restore:.2f} s, of which verifying {verify:.3f} s "
        f"({size / verify:.1f} GB/s), {verify / (restore - verify):.1%} of the rest"
    )


if __name__ == "__main__":
    arguments = tyro.cli(Arguments)
    jnp.zeros(1)
    if arguments.workdir:
        measure(arguments, arguments.workdir)
    else:
        with tempfile.TemporaryDirectory() as folder:
            measure(arguments, folder)

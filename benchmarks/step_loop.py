"""What the host does for a step: `python benchmarks/step_loop.py`.

Trains the arrays of a DiT by a loss that costs nothing, and prints the processor time
of the main thread for each step: data, dispatch, reading the last metrics, progress.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np
import tyro
from flax import nnx

from sora_jax import cli
from sora_jax.sharding import MeshPlan
from sora_jax.training import dit, loop
from sora_jax.training.state import TrainState


def main(steps: int = 4000) -> None:
    """Time the middle half of so many steps."""
    debug = cli.load_config("configs/dit_debug.py")
    every = steps // 4
    config = dataclasses.replace(
        debug, steps=steps, eval_every=every, checkpoint_every=steps, log_every=20
    )
    times: list[float] = []
    leaves: list[int] = []

    def evaluate(state: TrainState) -> tuple[dict[str, float], dict]:
        leaves.append(len(jax.tree.leaves(state)))
        times.append(time.thread_time())
        return {}, {}

    def set_up(mesh_plan: MeshPlan) -> loop.TrainSetup:
        program = dit.train_program(config, mesh_plan)
        rows = grain.MapDataset.range(9).map(lambda i: np.full((2, 9), i, np.float32))

        def objective(networks: Any, batch: Any, *_: Any) -> tuple[jax.Array, dict]:
            leaves = jax.tree.leaves([nnx.state(each) for each in networks.values()])
            return sum(map(jnp.sum, leaves)) * jnp.mean(batch) * 1e-6, {}

        return loop.TrainSetup(
            program=dataclasses.replace(program, objective=objective),
            data=lambda _: iter(rows.repeat().to_iter_dataset()),
            evaluate=evaluate,
            work={"clips": 2.0, "FLOP": 1.0},
        )

    with tempfile.TemporaryDirectory() as workdir:
        loop.train(config, workdir, set_up)
    spent = (times[2] - times[0]) / (2 * every)
    print(f"{1e3 * spent:.2f} ms of the host for a step of {leaves[0]} arrays")


if __name__ == "__main__":
    tyro.cli(main)

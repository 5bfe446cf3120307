"""Speed of the DiT's training step: `python benchmarks/training_step.py`.

Model FLOPs (forward and backward, nothing recomputed, the optimizer's own not counted)
of packed rows per second of the whole step, against a plain float32 product of two
2048 x 2048 matrices timed in turn with it; and of the step whose products have factors
rounded to bfloat16 (`products`, on a CPU), against the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from sora_jax import cli, runtime, sharding
from sora_jax.config import DiTRun
from sora_jax.data.packing import Sample, pack_row
from sora_jax.data.patches import coordinates
from sora_jax.data.pipeline import join
from sora_jax.training import dit
from sora_jax.training.step import jitted_train_step
from sora_jax.types import Batch

SIDE = 2048
PRODUCTS = ("float32", "bfloat16")
# Patches along (t, h, w) of 17 frames of 64 x 64 pixels.
GRID = (5, 4, 4)


def packed_batch(config: DiTRun) -> Batch:
    """Rows full of clips of 17 x 64 x 64, as the data pipeline packs them."""
    rng = np.random.default_rng(0)
    count, length = int(np.prod(GRID)), config.text.pad_to

    def sample() -> Sample:
        return Sample(
            x=rng.normal(size=(count, config.dit.patch_features)).astype(np.float32),
            extra=np.zeros((count, config.dit.extra_features), np.float32),
            coords=coordinates(GRID),
            clean=np.zeros(count, bool),
            captions=rng.integers(3, config.text.vocabulary, (1, length), np.int32),
            caption_ids=np.zeros(count, np.int32),
        )

    packing = config.packing
    rows = [
        pack_row(
            [sample() for _ in range(packing.tokens // count)],
            packing.tokens,
            packing.samples,
            length,
        )
        for _ in range(packing.rows)
    ]
    return join(rows)


def main(config: str = "configs/playground_dit.py", rounds: int = 5) -> None:
    """Time all in turn; of each the fastest round counts."""
    run = cli.load_config(config)
    runtime.set_cpu_matmul_dtype("bfloat16")
    mesh = sharding.make_mesh({"data": 1, "fsdp": 1, "context": 1, "tensor": 1})
    mesh_plan = sharding.MeshPlan(mesh, run.rules)
    program = dit.train_program(run, mesh_plan)
    batch = packed_batch(run)
    row = jax.tree.map(lambda x: x[:1], batch)
    model_flops = dit.model_flops(run, row)

    def step_with(products: str) -> Callable[[], None]:
        update = jitted_train_step(
            program.loss,
            program.optimization,
            run.seed,
            mesh_plan.platform,
            products,
        )
        box = [program.state.initialize()]

        def step() -> None:
            box[0], metrics = update(box[0], {}, batch)
            jax.block_until_ready(metrics)

        return step

    square = jax.random.normal(jax.random.key(0), (SIDE, SIDE))
    multiply = jax.jit(jnp.matmul)
    product = lambda: jax.block_until_ready(multiply(square, square))  # noqa: E731
    steps = [step_with(products) for products in PRODUCTS]
    *seconds, of_product = alternate([*steps, product], rounds)
    plain = 2 * SIDE**3 / of_product
    print(f"matmul {plain / 1e9:.1f} GFLOP/s; a step has {model_flops / 1e9:.1f} GFLOP")
    for products, time_of_step in zip(PRODUCTS, seconds, strict=True):
        rate = model_flops / time_of_step
        print(
            f"step, products of {products}: {time_of_step:.3f} s, "
            f"{rate / 1e9:.1f} GFLOP/s, ratio {rate / plain:.2f}"
        )


def alternate(functions: list[Callable[[], object]], rounds: int) -> list[float]:
    """Best seconds of each function, run in turn after one call to compile."""
    best = [float("inf")] * len(functions)
    for turn in range(rounds + 1):
        for i, function in enumerate(functions):
            started = time.perf_counter()
            function()
            if turn:
                best[i] = min(best[i], time.perf_counter() - started)
    return best


if __name__ == "__main__":
    tyro.cli(main)

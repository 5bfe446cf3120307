"""Run by `test_meshes.py` in a process of its own, with eight devices on one CPU.

Takes one optimizer step, or its gradient alone, on several meshes, and prints as JSON
how far each is from one device's.
"""

import dataclasses
import json
import sys

import jax

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_disable_most_optimizations", True)

import numpy as np  # noqa: E402

from sora_jax import cli, sharding  # noqa: E402
from sora_jax.config import AttentionPlan, DiTRun  # noqa: E402
from sora_jax.data.packing import Sample, pack_row  # noqa: E402
from sora_jax.data.patches import coordinates  # noqa: E402
from sora_jax.data.pipeline import join  # noqa: E402
from sora_jax.training import dit, state  # noqa: E402

SHAPES = ((3, 2, 2), (1, 4, 4), (2, 3, 2), (5, 2, 2))  # of packed samples


def config(debug: DiTRun) -> DiTRun:
    """A run of four heads, whose attention is computed by a kernel."""
    plan = AttentionPlan(kernel="xla", most_scores=500)
    model = dataclasses.replace(debug.dit, width=48, heads=4, mlp=64, attention=plan)
    optim = dataclasses.replace(debug.optim, name="muon", lr=1e-3, clip=None)
    packing = dataclasses.replace(debug.packing, tokens=48, rows=4, samples=3)
    return dataclasses.replace(debug, dit=model, packing=packing, optim=optim)


def packed(run: DiTRun):
    """Rows of samples of several shapes, with padding."""
    rng = np.random.default_rng(0)

    def sample(grid):
        count, text = int(np.prod(grid)), run.text.pad_to
        vocabulary = run.text.vocabulary
        return Sample(
            x=rng.normal(size=(count, run.dit.patch_features)).astype(np.float32),
            extra=rng.normal(size=(count, run.dit.extra_features)).astype(np.float32),
            coords=coordinates(grid),
            clean=np.arange(count) < count // 4,
            captions=rng.integers(3, vocabulary, (1, text), np.int32),
            caption_ids=np.zeros(count, np.int32),
        )

    room = run.packing
    rows = [
        pack_row(
            [sample(SHAPES[(i + j) % len(SHAPES)]) for j in range(2)],
            room.tokens,
            room.samples,
            run.text.pad_to,
        )
        for i in range(room.rows)
    ]
    return join(rows)


def step(run: DiTRun, shape: dict[str, int], devices: list, *, with_step: bool) -> dict:
    """Loss, gradient and, if asked for, parameters after a step, on a mesh."""
    mesh = sharding.make_mesh(shape, devices)
    with sharding.use(mesh, run.rules):
        program = dit.program(run, mesh)
        batch = sharding.to_device(packed(run), mesh)
        begun = program.blueprint.initial()
        rng = np.random.default_rng(1)  # no parameter is zero
        moved = jax.tree.map(
            lambda x: jax.device_put(
                np.asarray(x) + 0.1 * rng.normal(size=x.shape).astype(x.dtype),
                x.sharding,
            ),
            begun.params,
        )
        begun = dataclasses.replace(begun, params=moved)
        gradient = jax.value_and_grad(program.loss, has_aux=True)

        @jax.jit
        def both(begun, batch):
            key = jax.random.fold_in(jax.random.key(0), begun.step)  # as `update` does
            (loss, _), grads = gradient(begun.params, batch, key, begun.step)
            found = {"loss": loss, "gradient": grads}
            if with_step:
                move = state.update(program.loss, program.optimization, 0, begun, batch)
                found["step"] = move[0].params
            return found

        return jax.tree.map(np.asarray, both(begun, batch))


def distance(one, other) -> float:
    """Largest difference of a tree's arrays, relative to each array's size."""
    errors = jax.tree.map(
        lambda a, b: float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-3)), one, other
    )
    return max(jax.tree.leaves(errors))


def main() -> None:
    """Compare the meshes that are given as JSON with one device."""
    run = config(cli.load_config(sys.argv[1]))
    steps = int(sys.argv[3])  # so many of the first meshes also take a step
    dense = dataclasses.replace(run.dit.attention, most_scores=2**62)
    plain = dataclasses.replace(run, dit=dataclasses.replace(run.dit, attention=dense))
    alone = step(plain, {"data": 1}, jax.devices()[:1], with_step=steps > 0)
    for number, shape in enumerate(json.loads(sys.argv[2])):
        count = int(np.prod([n for name, n in shape.items() if name != "ulysses"]))
        found = step(run, shape, jax.devices()[:count], with_step=number < steps)
        errors = {name: distance(found[name], alone[name]) for name in found}
        print(json.dumps({"mesh": shape, **errors}), flush=True)


if __name__ == "__main__":
    main()

"""Run by `test_meshes.py` in a process of its own, with eight devices on one CPU.

Takes one optimizer step, or its gradient alone, on several meshes, and prints as JSON
how far each is from one device's. All is in float64, since float32's rounding, which
Muon magnifies, is another one on each processor.
"""

import dataclasses
import json
import sys
from functools import partial

import jax

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_disable_most_optimizations", True)

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402

from sora_jax import cli, sharding  # noqa: E402
from sora_jax.config import AttentionPlan, DiTRun  # noqa: E402
from sora_jax.nn.attention import attention  # noqa: E402
from sora_jax.nn.flash import Meta  # noqa: E402
from sora_jax.nn.kv_cache import KVCache  # noqa: E402
from sora_jax.training import dit  # noqa: E402
from sora_jax.training.state import TrainState  # noqa: E402
from sora_jax.training.step import train_step  # noqa: E402
from tests.helpers.packed import packed  # noqa: E402

SHAPES = ((3, 2, 2), (1, 4, 4), (2, 3, 2), (5, 2, 2))  # of packed samples


def config(debug: DiTRun) -> DiTRun:
    """A run of four heads, whose attention is computed by a kernel."""
    plan = AttentionPlan(kernel="xla", most_scores=500)
    model = dataclasses.replace(
        debug.dit, width=48, heads=4, mlp=64, attention=plan, dtype="float64"
    )
    text = dataclasses.replace(debug.text, dtype="float64")
    optim = dataclasses.replace(debug.optim, name="muon", lr=1e-3, clip=None)
    packing = dataclasses.replace(debug.packing, tokens=48, rows=4, samples=3)
    return dataclasses.replace(
        debug, dit=model, text=text, packing=packing, optim=optim
    )


def begin(abstract: TrainState) -> TrainState:
    """A state on its devices, without compiling one: no parameter is zero."""
    rng = np.random.default_rng(1)

    def draw(x):
        fan_in = x.shape[0] if len(x.shape) > 1 else 4
        values = rng.normal(size=x.shape) / np.sqrt(fan_in) + (len(x.shape) < 2)
        return jax.device_put(values.astype(x.dtype), x.sharding)

    def zeros(x):
        return jax.device_put(np.zeros(x.shape, x.dtype), x.sharding)

    params = jax.tree.map(draw, abstract.params)
    others = jax.tree.map(zeros, abstract)
    return dataclasses.replace(others, params=params, ema=params)


# Its state is the gradient that the optimizer was given.
KEPT = optax.GradientTransformation(
    init=lambda params: params,
    update=lambda grads, state, params=None: (grads, grads),
)


def step(run: DiTRun, shape: dict[str, int], devices: list, *, with_step: bool) -> dict:
    """Loss, gradient and, if asked for, parameters after a step, on a mesh."""
    mesh = sharding.make_mesh(shape, devices)
    mesh_plan = sharding.MeshPlan(mesh, run.rules)
    program = dit.train_program(run, mesh_plan)
    batch = sharding.to_device(packed(run), mesh_plan)
    abstract, transform = program.state.abstract, program.optimization.transform
    if not with_step:
        abstract = dataclasses.replace(abstract, opt_state=optax.EmptyState())
        transform = optax.set_to_zero()
    begun = begin(abstract)
    begun = dataclasses.replace(begun, opt_state=(begun.ema, begun.opt_state))
    optimization = dataclasses.replace(
        program.optimization, transform=optax.chain(KEPT, transform)
    )
    take_step = partial(train_step, program.loss, optimization, 0)
    after, metrics = jax.jit(take_step)(begun, {}, batch)
    found = {"loss": metrics["loss"], "gradient": after.opt_state[0]}
    found |= streamed(run.dit.attention, mesh_plan)
    if with_step:
        found |= {"step": after.params, "average": after.ema}
    return jax.tree.map(np.asarray, found)


def streamed(plan: AttentionPlan, mesh_plan: sharding.MeshPlan) -> dict:
    """What tokens make of themselves and of a cache of earlier ones."""
    rng = np.random.default_rng(2)
    queries, keys, values = rng.normal(size=(3, 4, 16, 4, 8))
    earlier = rng.normal(size=(2, 4, 8, 4, 8))
    ids = rng.integers(0, 3, (4, 24)).astype(np.int32)
    order = rng.integers(0, 3, (4, 24)).astype(np.int32)
    before, now = (Meta(ids[:, part], order[:, part]) for part in np.s_[:8, 8:])

    @jax.jit
    def run(q, k, v, earlier):
        cache = KVCache(*earlier, jax.tree.map(jnp.asarray, before))
        meta = jax.tree.map(jnp.asarray, now)
        return attention(
            q, k, v, meta, meta, plan, mesh_plan, is_self=True, cache=cache
        )

    return {"streamed": np.asarray(run(queries, keys, values, earlier))}


def distance(one, other) -> float:
    """Largest difference of a tree's arrays, relative to each array's size."""
    assert all(x.dtype == np.float64 for x in jax.tree.leaves((one, other)))
    errors = jax.tree.map(
        lambda a, b: float(np.abs(a - b).max() / np.abs(b).max()), one, other
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

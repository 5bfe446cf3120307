"""The DiT's job: packed rows of encoded clips in, the flow-matching loss out.

The text encoder is trained with it. Its evaluation is the held-out loss at fixed times
for each clip shape, and whatever `sample` makes: sampling is handed in, since it stands
beside training and not below it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Float

from sora_jax import sharding
from sora_jax.config import DiTConfig, DiTRun
from sora_jax.data import pipeline
from sora_jax.data.packing import statistics
from sora_jax.diffusion import flow
from sora_jax.models.dit import DiT
from sora_jax.models.text_encoder import TextEncoder, encode_captions
from sora_jax.training import optim
from sora_jax.training.flops import count_flops
from sora_jax.training.latents import Latents, check_start, load_start, open_latents
from sora_jax.training.loop import Job
from sora_jax.training.report import Media
from sora_jax.training.rows import held_out_batches, row_builder
from sora_jax.training.state import (
    Blueprint,
    Loss,
    Metrics,
    Optimization,
    Params,
    TrainState,
    plan_state,
    started,
)
from sora_jax.types import Batch, Context

# The times at which the held-out loss is measured.
TIMES = (0.1, 0.3, 0.5, 0.7, 0.9)
# module -> moving pictures by name
SampleFn = Callable[["Trained"], dict[str, Media]]


class Trained(nnx.Module):
    """The DiT and the text encoder that learns with it."""

    def __init__(self, config: DiTRun, *, rngs: nnx.Rngs):
        self.dit = DiT(config.dit, rngs=rngs)
        self.text_encoder = TextEncoder(config.text, rngs=rngs)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
    """What is compiled to train: the state, how it moves, and by which loss."""

    blueprint: Blueprint
    optimization: Optimization
    loss: Loss


def program(config: DiTRun, mesh: Mesh) -> Program:
    """The training of a config on a mesh, without data and without memory.

    Raises:
      ValueError: the mesh cannot share rows or tokens evenly.
    """
    sharding.check_batch("packing.rows", config.packing.rows, mesh)
    for name, length, axis in (
        ("packing.tokens", config.packing.tokens, "tokens"),
        ("dit.width", config.dit.width, "embed"),
        ("dit.heads", config.dit.heads, "heads"),
        ("dit.mlp", config.dit.mlp, "mlp"),
    ):
        sharding.check_shares(name, length, axis)
    optimization = Optimization(
        transform=optim.optimizer(config.optim, config.steps),
        ema_decay=config.optim.ema_decay,
        accumulate=config.optim.accumulate,
    )
    blueprint = plan_state(
        lambda key: Trained(config, rngs=nnx.Rngs(key)),
        optimization,
        config.seed,
        mesh,
    )

    def loss(
        params: Params, batch: Batch, key: Array, step: Array
    ) -> tuple[Array, Metrics]:
        del step
        trained = nnx.merge(blueprint.graphdef, params)
        levels_key, noise_key = jax.random.split(key)
        levels = flow.draw_levels(levels_key, batch.tokens, config.flow)
        return flow_loss(trained, batch, levels, noise_key), {}

    return Program(blueprint=blueprint, optimization=optimization, loss=loss)


def make_job(config: DiTRun, mesh: Mesh, sample: SampleFn | None = None) -> Job:
    """Build the DiT's job on a mesh.

    Raises:
      ValueError: the latents folder is incomplete, or of another kind than the config,
        or the mesh cannot share its rows.
    """
    compiled = program(config, mesh)
    blueprint = compiled.blueprint
    latents = open_latents(config)
    if config.start_from:
        check_start(config)
    plan = pipeline.plan(latents.train, config.dit.patch, config.packing, config.seed)
    build = row_builder(config, latents, latents.train, plan.views, config.packing)
    return Job(
        blueprint=started(blueprint, partial(load_start, config, latents))
        if config.start_from
        else blueprint,
        loss=compiled.loss,
        optimization=compiled.optimization,
        data=lambda: pipeline.batches(build, plan.rows, config.seed),
        evaluate=evaluation(config, blueprint.graphdef, latents, sample),
        work=work_of_a_step(config, plan, build),
        sources=latents.hashes,
    )


def evaluation(
    config: DiTRun, graphdef: nnx.GraphDef, latents: Latents, sample: SampleFn | None
) -> Callable[[TrainState], tuple[dict[str, float], dict[str, Media]]]:
    """The held-out loss at fixed times for each clip shape, and samples."""
    held_out = held_out_batches(config, latents)

    @jax.jit
    def loss_at(params: Params, batch: Batch, t: Array) -> Array:
        levels = jnp.full_like(batch.tokens.levels, t).at[:, 0].set(0.0)
        return flow_loss(nnx.merge(graphdef, params), batch, levels, jax.random.key(0))

    def evaluate(state: TrainState) -> tuple[dict[str, float], dict[str, Media]]:
        scalars = {}
        for name, batch in held_out.items():
            values = [float(loss_at(state.ema, batch, t)) for t in TIMES]
            scalars[f"loss {name}"] = float(np.mean(values))
        scalars["loss"] = float(np.mean(list(scalars.values())))
        media = sample(nnx.merge(graphdef, state.ema)) if sample else {}
        return scalars, media

    return evaluate


def work_of_a_step(
    config: DiTRun, plan: pipeline.Plan, build: pipeline.BuildRow
) -> dict[str, float]:
    """Clips, tokens and model FLOPs of one step, on the epoch's average."""
    rows, room = config.packing.rows, config.packing.tokens
    padding = statistics(plan.rows, plan.tokens, room)["padding"]
    first = build(plan.rows[0], np.random.default_rng(0))
    return {
        "clips": rows * len(plan.views) / len(plan.rows),
        "tokens": rows * room * (1 - padding),
        "FLOP": model_flops(config, first),
    }


def model_flops(config: DiTRun, row: Batch) -> float:
    """FLOPs of a step's gradient, without what a remat policy does again.

    Args:
      config: of the run.
      row: a batch of one row, or its shapes.
    """
    plain = dataclasses.replace(config, dit=countable(config.dit))
    trained = nnx.eval_shape(lambda: Trained(plain, rngs=nnx.Rngs(0)))
    graphdef, params = nnx.split(trained)

    def loss(params: Params, row: Batch) -> Array:
        levels, key = row.tokens.levels, jax.random.key(0)
        return flow_loss(nnx.merge(graphdef, params), row, levels, key)

    params = nnx.to_pure_dict(params)
    with sharding.on_paper():
        return config.packing.rows * count_flops(jax.grad(loss), params, row)


def countable(config: DiTConfig) -> DiTConfig:
    """A transformer that does nothing twice, and no product inside a kernel."""
    plan = dataclasses.replace(config.attention, kernel="xla", most_scores=2**62)
    return dataclasses.replace(config, attention=plan, remat="none", unroll=1)


def flow_loss(
    trained: Trained, batch: Batch, levels: Float[Array, "b k"], key: Array
) -> Float[Array, ""]:
    """The loss of packed rows at given noise levels."""
    tokens, target = flow.add_noise(key, batch.tokens, levels)
    states, segments = encode_captions(trained.text_encoder, batch.text)
    context = Context(states=states, segments=segments, ids=batch.text_ids)
    velocity = trained.dit(tokens, {"text": context})
    return flow.loss(velocity, target, batch.tokens.made)

"""The DiT's job: packed rows of encoded clips in, the flow-matching loss out.

The text encoder is trained with it, unless another's reads. Its evaluation is the
held-out loss at fixed times for each clip shape, and whatever `sample` makes: sampling
is handed in, since it stands beside training and not below it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array

from sora_jax import compiling, sharding
from sora_jax.config import DiTRun
from sora_jax.data import pipeline
from sora_jax.data.packing import statistics
from sora_jax.diffusion import flow
from sora_jax.training import optim
from sora_jax.training.latents import Latents, open_latents
from sora_jax.training.loop import Job
from sora_jax.training.networks import (
    Networks,
    Trained,
    flow_loss,
    frozen_text,
    load_frozen,
    model_flops,
)
from sora_jax.training.packed_rows import held_out_batches, row_builder
from sora_jax.training.report import Media
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
from sora_jax.training.warm_start import check_start, load_start
from sora_jax.types import Batch

# The times at which the held-out loss is measured.
TIMES = (0.1, 0.3, 0.5, 0.7, 0.9)
# module -> moving pictures by name
SampleFn = Callable[[Networks], dict[str, Media]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
    """What is compiled to train.

    Attributes:
      blueprint: of the state.
      optimization: how it moves.
      loss: by which it moves.
      networks: from parameters, and those that are frozen, to what they are of.
      frozen: shapes and places of what the loss reads and nothing moves.
    """

    blueprint: Blueprint
    optimization: Optimization
    loss: Loss
    networks: Callable[..., Networks]
    frozen: tuple[Any, ...]


def program(config: DiTRun, mesh: Mesh) -> Program:
    """The training of a config on a mesh, without data and without memory.

    Raises:
      ValueError: the mesh cannot share rows, tokens, heads or widths evenly.
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
    text, frozen = frozen_text(config, mesh)

    def networks(params: Params, *frozen: Params) -> Networks:
        trained = nnx.merge(blueprint.graphdef, params)
        reads = nnx.merge(text, frozen[0]) if frozen else trained.text_encoder
        return Networks(trained.dit, reads)

    def loss(
        params: Params, batch: Batch, key: Array, step: Array, *frozen: Params
    ) -> tuple[Array, Metrics]:
        del step
        levels_key, noise_key = jax.random.split(key)
        levels = flow.draw_levels(levels_key, batch.tokens, config.flow)
        return flow_loss(networks(params, *frozen), batch, levels, noise_key), {}

    return Program(
        blueprint=blueprint,
        optimization=optimization,
        loss=loss,
        networks=networks,
        frozen=frozen,
    )


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
    frozen = load_frozen(config, compiled.frozen)
    return Job(
        blueprint=started(blueprint, partial(load_start, config, latents))
        if config.start_from
        else blueprint,
        loss=compiled.loss,
        optimization=compiled.optimization,
        data=lambda: pipeline.batches(
            build, plan.rows, config.seed, sharding.host_share(mesh)
        ),
        evaluate=evaluation(config, compiled, frozen, latents, sample),
        work=work_of_a_step(config, plan, build),
        sources=latents.hashes,
        frozen=frozen,
    )


def evaluation(
    config: DiTRun,
    compiled: Program,
    frozen: tuple[Params, ...],
    latents: Latents,
    sample: SampleFn | None,
) -> Callable[[TrainState], tuple[dict[str, float], dict[str, Media]]]:
    """The held-out loss at fixed times for each clip shape, and samples."""
    held_out = held_out_batches(config, latents)

    @partial(jax.jit, compiler_options=compiling.options(jax.default_backend()))
    def loss_at(
        params: Params, frozen: tuple[Params, ...], batch: Batch, t: Array
    ) -> Array:
        levels = jnp.full_like(batch.tokens.levels, t).at[:, 0].set(0.0)
        networks = compiled.networks(params, *frozen)
        return flow_loss(networks, batch, levels, jax.random.key(0))

    def evaluate(state: TrainState) -> tuple[dict[str, float], dict[str, Media]]:
        scalars = {}
        for name, batch in held_out.items():
            values = [float(loss_at(state.ema, frozen, batch, t)) for t in TIMES]
            scalars[f"loss {name}"] = float(np.mean(values))
        scalars["loss"] = float(np.mean(list(scalars.values())))
        if sample is None:
            return scalars, {}
        return scalars, sample(compiled.networks(state.ema, *frozen))

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

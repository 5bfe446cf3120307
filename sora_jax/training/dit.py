"""DiT training on packed rows of encoded clips.

The text encoder is trained too, unless `text_from` names a frozen one. Evaluation
reports the held-out loss at fixed times for each clip shape, and the media of `sample`,
a function that the caller passes in, so that training does not import sampling.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array

from sora_jax import compiling, sharding
from sora_jax.config import DiTConfig, DiTRun, resolve_dtypes
from sora_jax.data import pipeline, planning
from sora_jax.data.packing import statistics
from sora_jax.families import OURS
from sora_jax.parameter_trees import Params, Path
from sora_jax.sharding import MeshPlan
from sora_jax.training import optim
from sora_jax.training.latents import Latents, open_latents
from sora_jax.training.loop import TrainSetup
from sora_jax.training.networks import Networks
from sora_jax.training.objectives.flow_matching import FlowMatching, loss_at
from sora_jax.training.packed_rows import held_out_batches, row_builder
from sora_jax.training.program import TrainProgram, gradient_flops, plan_program
from sora_jax.training.report import Media
from sora_jax.training.state import TrainState, load_frozen
from sora_jax.training.warm_start import check_start, load_start
from sora_jax.types import TEXT, Batch
from sora_jax.weights import folders
from sora_jax.weights.modules import parameters
from sora_jax.weights.run_networks import build_network

TEXT_ENCODER = OURS.contexts[TEXT]
# The times at which the held-out loss is measured.
TIMES = (0.1, 0.3, 0.5, 0.7, 0.9)
# (networks, mesh plan) -> media by name
SampleFn = Callable[[Networks, MeshPlan], dict[str, Media]]


def build(config: DiTRun, rngs: nnx.Rngs) -> dict[str, nnx.Module]:
    """Build the networks of a run, named as in its checkpoints."""
    names = networks_of(config)
    return {name: build_network(config, name, rngs) for name in names}


def networks_of(config: DiTRun) -> tuple[str, ...]:
    """Return the networks of a run: a transformer and the encoders of its contexts."""
    encoders = {**OURS.contexts}
    if config.text_states:
        del encoders[TEXT]
    return (OURS.transformer, *encoders.values())


def frozen_networks(config: DiTRun) -> tuple[str, ...]:
    """Return the networks that are frozen whatever `trainable` says."""
    has_encoder = config.text_from and not config.text_states
    return (TEXT_ENCODER,) if has_encoder else ()


def train_program(config: DiTRun, mesh_plan: MeshPlan) -> TrainProgram:
    """Plan the training program of a config on a mesh; allocates nothing.

    Raises:
      ValueError: the mesh cannot share rows, tokens, heads or widths evenly.
    """
    sharding.check_batch("packing.rows", config.packing.rows, mesh_plan)
    for name, length, axis in (
        ("packing.tokens", config.packing.tokens, "tokens"),
        ("dit.width", config.dit.width, "embed"),
        ("dit.heads", config.dit.heads, "heads"),
        ("dit.mlp", config.dit.mlp, "mlp"),
    ):
        sharding.check_shares(name, length, axis, mesh_plan)
    config = resolve_dtypes(config, mesh_plan.platform)

    def optimizer(
        groups: Mapping[Path, str | None],
    ) -> optax.GradientTransformation:
        return optim.optimizer(config.optim, config.steps, groups)

    return plan_program(
        config,
        mesh_plan,
        build=partial(build, config),
        objective=FlowMatching(config.flow, mesh_plan),
        optimizer=optimizer,
        dtypes={n: OURS.networks[n].sizes(config).dtype for n in networks_of(config)},
        read_only=frozen_networks(config),
    )


def set_up(
    config: DiTRun, mesh_plan: MeshPlan, sample: SampleFn | None = None
) -> TrainSetup:
    """Set up the training of a DiT on a mesh.

    Raises:
      ValueError: the latents folder is incomplete or does not match the config, or the
        mesh does not divide the rows.
    """
    program = train_program(config, mesh_plan)
    latents = open_latents(config)
    if config.start_from:
        check_start(config)
        start = program.state.starting_from(partial(load_start, config, latents))
        program = dataclasses.replace(program, state=start)
    plan = planning.plan_epoch(
        latents.train.index,
        config.dit.patch,
        config.packing,
        config.seed,
        [config.repeats[folder] for folder in latents.train.folder_of],
    )
    build = row_builder(config, latents, latents.train, plan.views, config.packing)
    frozen = load_frozen(program.frozen, partial(load_untrained, config, latents))
    return TrainSetup(
        program=program,
        frozen=frozen,
        data=lambda step: pipeline.batches(
            build, plan.rows, config.seed, sharding.host_share(mesh_plan), step
        ),
        evaluate=evaluation(config, program, frozen, latents, mesh_plan, sample),
        work=work_of_a_step(config, plan, build),
        sources=latents.hashes,
    )


def load_untrained(config: DiTRun, latents: Latents) -> Params:
    """Load the networks with frozen parameters."""
    loaded: Params = {}
    if config.trainable != "all":
        loaded = load_start(config, latents)
    if config.text_from and not config.text_states:
        text_encoder = folders.load_network(config.text_from, TEXT_ENCODER)
        loaded[TEXT_ENCODER] = parameters(text_encoder)
    return loaded


def evaluation(
    config: DiTRun,
    program: TrainProgram,
    frozen: Params,
    latents: Latents,
    mesh_plan: MeshPlan,
    sample: SampleFn | None,
) -> Callable[[TrainState], tuple[dict[str, float], dict[str, Media]]]:
    """Return the evaluation: held-out loss at fixed times by clip shape, samples."""
    held_out = held_out_batches(config, latents)

    @partial(jax.jit, compiler_options=compiling.options(mesh_plan.platform))
    def loss_at_time(params: Params, frozen: Params, batch: Batch, t: Array) -> Array:
        levels = jnp.full_like(batch.tokens.levels, t).at[:, 0].set(0.0)
        networks = program.networks(params, frozen)
        return loss_at(networks, batch, levels, jax.random.key(0), mesh_plan)

    def evaluate(state: TrainState) -> tuple[dict[str, float], dict[str, Media]]:
        scalars = {}
        for name, batch in held_out.items():
            values = [float(loss_at_time(state.ema, frozen, batch, t)) for t in TIMES]
            scalars[f"loss {name}"] = float(np.mean(values))
        scalars["loss"] = float(np.mean(list(scalars.values())))
        if sample is None:
            return scalars, {}
        return scalars, sample(program.networks(state.ema, frozen), mesh_plan)

    return evaluate


def work_of_a_step(
    config: DiTRun, plan: planning.EpochPlan, build: pipeline.BuildRow
) -> dict[str, float]:
    """Return clips, tokens and model FLOPs of a step, averaged over an epoch."""
    rows, room = config.packing.rows, config.packing.tokens
    padding = statistics(plan.rows, plan.tokens, room)["padding"]
    first = build(plan.rows[0], np.random.default_rng(0))
    return {
        "clips": rows * len(plan.views) / len(plan.rows),
        "tokens": rows * room * (1 - padding),
        "FLOP": model_flops(config, first),
    }


def model_flops(config: DiTRun, row: Batch) -> float:
    """Return the FLOPs of a step's gradient, without recomputation by remat.

    Args:
      config: of the run.
      row: a batch of one row, or its shapes.
    """
    plain = dataclasses.replace(config, dit=without_remat(config.dit))
    return config.packing.rows * gradient_flops(
        partial(build, plain),
        FlowMatching(plain.flow),
        row,
        config.trainable,
        frozen_networks(config),
    )


def without_remat(config: DiTConfig) -> DiTConfig:
    """Configure a transformer without remat and kernels, to count its FLOPs."""
    plan = dataclasses.replace(config.attention, kernel="xla", most_scores=2**62)
    return dataclasses.replace(config, attention=plan, remat="none", unroll=1)

"""The networks of a DiT run: what learns, what reads for it, and the loss of both."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from sora_jax import sharding
from sora_jax.config import DiTConfig, DiTRun
from sora_jax.diffusion import flow
from sora_jax.models.dit import DiT
from sora_jax.models.text_encoder import TextEncoder
from sora_jax.nn.parameters import metadata
from sora_jax.nn.precision import compute_dtype
from sora_jax.sharding import SINGLE_DEVICE, MeshPlan
from sora_jax.training.flops import count_flops
from sora_jax.training.state import Params
from sora_jax.types import Batch, Context
from sora_jax.weights import folders
from sora_jax.weights.modules import parameters


class Trained(nnx.Module):
    """The DiT and, unless another's reads for it, the text encoder."""

    def __init__(self, config: DiTRun, *, rngs: nnx.Rngs):
        self.dit = DiT(config.dit, rngs=rngs)
        learned = not config.text_from
        self.text_encoder = TextEncoder(config.text, rngs=rngs) if learned else None


class Networks(NamedTuple):
    """What makes a velocity of tokens and captions, and where its arrays lie."""

    dit: DiT
    text_encoder: TextEncoder
    mesh_plan: MeshPlan = SINGLE_DEVICE


def flow_loss(
    networks: Networks, batch: Batch, levels: Float[Array, "b k"], key: Array
) -> Float[Array, ""]:
    """The loss of packed rows at given noise levels."""
    tokens, target = flow.add_noise(key, batch.tokens, levels)
    mesh_plan = networks.mesh_plan
    states, segments = networks.text_encoder.encode(batch.text, mesh_plan)
    context = Context(states=states, segments=segments, ids=batch.text_ids)
    velocity = networks.dit(tokens, {"text": context}, mesh_plan=mesh_plan)
    return flow.loss(velocity, target, batch.tokens.target_mask)


def frozen_text(
    config: DiTRun, mesh_plan: MeshPlan
) -> tuple[nnx.GraphDef, tuple[Any, ...]]:
    """The structure of the text encoder, and where it lies if it is another's."""
    module = nnx.eval_shape(lambda: TextEncoder(config.text, rngs=nnx.Rngs(0)))
    graphdef, params = nnx.split(module)
    if not config.text_from:
        return graphdef, ()
    dtype = compute_dtype(config.text.dtype)

    def describe(x: Any, exact: bool, where: Any) -> jax.ShapeDtypeStruct:
        kept = x.dtype if exact else dtype
        return jax.ShapeDtypeStruct(x.shape, kept, sharding=where)

    placed = jax.tree.map(
        describe,
        nnx.to_pure_dict(params),
        metadata(module, "keep_float32", False),
        sharding.parameter_shardings(module, mesh_plan),
    )
    return graphdef, (placed,)


def load_frozen(config: DiTRun, frozen: tuple[Any, ...]) -> tuple[Params, ...]:
    """The text encoder that reads for the DiT, if one does, on its devices."""
    if not frozen:
        return ()
    with sharding.on_host():
        text_encoder = folders.network(config.text_from, "text_encoder")
    return jax.tree.map(
        lambda x, wanted: sharding.place(
            np.asarray(x).astype(wanted.dtype), wanted.sharding
        ),
        (parameters(text_encoder),),
        frozen,
    )


def model_flops(config: DiTRun, row: Batch) -> float:
    """FLOPs of a step's gradient, without what a remat policy does again.

    Args:
      config: of the run.
      row: a batch of one row, or its shapes.
    """
    plain = dataclasses.replace(config, dit=countable(config.dit))
    dit_graph, dit = nnx.split(nnx.eval_shape(lambda: DiT(plain.dit, rngs=nnx.Rngs(0))))
    text_graph, text = nnx.split(
        nnx.eval_shape(lambda: TextEncoder(plain.text, rngs=nnx.Rngs(0)))
    )

    def loss(trained: Params, frozen: Params, row: Batch) -> Array:
        levels, key = row.tokens.levels, jax.random.key(0)
        params = {**trained, **frozen}
        networks = Networks(
            dit=nnx.merge(dit_graph, params["dit"]),
            text_encoder=nnx.merge(text_graph, params["text"]),
        )
        return flow_loss(networks, row, levels, key)

    texts = {"text": text}
    trained, frozen = ({}, texts) if config.text_from else (texts, {})
    count = count_flops(jax.grad(loss), {"dit": dit, **trained}, frozen, row)
    return config.packing.rows * count


def countable(config: DiTConfig) -> DiTConfig:
    """A transformer that does nothing twice, and no product inside a kernel."""
    plan = dataclasses.replace(config.attention, kernel="xla", most_scores=2**62)
    return dataclasses.replace(config, attention=plan, remat="none", unroll=1)

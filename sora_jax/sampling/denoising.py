"""The compiled parts of denoising: text states, their memory, and one step.

The step is one jitted function driven from Python, so that progress shows and an
interrupt stops at the next step.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from sora_jax.diffusion import solvers
from sora_jax.diffusion.guidance import guide
from sora_jax.sampling.request import Request
from sora_jax.types import Batch, Context, Tokens
from sora_jax.weights import published

# An nnx.State, whose own generic hints upset the type checker of the tests.
Params = Any


def initial_noise(
    request: Request, tokens: Tokens, is_guided: bool
) -> Float[Array, "b n p"]:
    """Noise of its own for each video, whatever others are made beside it."""
    count = len(tokens.x) // (2 if is_guided else 1)
    keys = [jax.random.fold_in(jax.random.key(request.seed), i) for i in range(count)]
    return jnp.stack([jax.random.normal(key, tokens.x.shape[1:]) for key in keys])


def encode_text(weights: published.Weights, batch: Batch) -> dict[str, Context]:
    """Encode the captions of rows that have one each."""
    graphdef, params = nnx.split(weights.text_encoder)
    states = run_text_encoder(graphdef, params, batch.text[:, 0])
    segments = np.ones(states.shape[:2], np.int32)
    return {"text": Context(states=states, segments=segments, ids=batch.text_ids)}


@partial(jax.jit, static_argnames="graphdef")
def run_text_encoder(graphdef: nnx.GraphDef, params: Params, ids: Array) -> Array:
    """Run the text encoder."""
    return nnx.merge(graphdef, params)(ids)


@partial(jax.jit, static_argnames="graphdef")
def remember(
    graphdef: nnx.GraphDef, params: Params, contexts: dict[str, Context]
) -> Any:
    """Compute the cross-attention's keys and values, once per prompt."""
    return nnx.merge(graphdef, params).remember(contexts)


@partial(jax.jit, static_argnames=("graphdef", "is_guided"), donate_argnames="stack")
def denoise_step(
    graphdef: nnx.GraphDef,
    params: Params,
    stack: Float[Array, "s b n p"],
    tokens: Tokens,
    contexts: dict[str, Context],
    memory: Any,
    time: Float[Array, ""],
    matrix: Float[Array, "s s2"],
    guidance: Float[Array, ""],
    *,
    is_guided: bool,
) -> Float[Array, "s b n p"]:
    """Evaluate the velocity, with and without prompt in one batch, and step."""
    x = jnp.concatenate([stack[0], stack[0]]) if is_guided else stack[0]
    made = tokens.made[..., None]
    x = jnp.where(made, x, tokens.x)
    levels = jnp.full_like(tokens.levels, time).at[:, 0].set(0.0)
    rows = dataclasses.replace(tokens, x=x, levels=levels)
    velocity = nnx.merge(graphdef, params)(rows, contexts, memory)
    if is_guided:
        with_prompt, without = jnp.split(velocity, 2)
        velocity = guide(with_prompt, without, guidance)
    velocity = jnp.where(made[: len(velocity)], velocity, 0.0)
    return solvers.advance(stack, velocity, matrix)

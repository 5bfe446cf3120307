"""Rectified flow: the path from data to noise, its times, and the training loss.

x_t = (1 - t) x_0 + t noise, and the velocity is noise - x_0 (Liu et al. 2022; Esser et
al. 2024, section 2). A row holds many samples, each at its own t; a clean token is at
level 0, whose t is 0.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from sora_jax.config import FlowConfig
from sora_jax.types import AnyArray, Tokens


def shifted(
    t: Float[AnyArray, "*b"], shift: int | float | Float[AnyArray, "*b"]
) -> Float[AnyArray, "*b"]:
    """Move times towards noise (Esser et al. 2024, equation 23)."""
    return shift * t / (1 + (shift - 1) * t)


def draw_levels(key: Array, tokens: Tokens, config: FlowConfig) -> Float[Array, "b k"]:
    """Draw a time for every level but level 0, which stays clean.

    The time is logit-normal, shifted by the number of tokens at the level: more tokens
    of one scene are more redundant, and need more noise to hide it.
    """
    count = tokens.levels.shape[1]
    one_hot = jax.nn.one_hot(tokens.level_ids, count) * tokens.target_mask[..., None]
    size = jnp.sum(one_hot, axis=1)
    normal = jax.random.normal(key, tokens.levels.shape)
    t = jax.nn.sigmoid(config.mean + config.std * normal)
    shift = config.shift * jnp.sqrt(jnp.maximum(size, 1) / config.shift_tokens)
    return shifted(t, shift).at[:, 0].set(0.0)


def token_times(tokens: Tokens) -> Float[Array, "b n"]:
    """Look up the time of every token."""
    one_hot = jax.nn.one_hot(tokens.level_ids, tokens.levels.shape[1])
    return jnp.einsum("bnk,bk->bn", one_hot, tokens.levels)


def add_noise(
    key: Array, clean: Tokens, levels: Float[Array, "b k"]
) -> tuple[Tokens, Float[Array, "b n p"]]:
    """Noise tokens to the given levels; return them and the target velocity."""
    tokens = dataclasses.replace(clean, levels=levels)
    t = token_times(tokens)[..., None]
    noise = jax.random.normal(key, clean.x.shape, clean.x.dtype)
    x_t = (1 - t) * clean.x + t * noise
    return dataclasses.replace(tokens, x=x_t), noise - clean.x


def loss(
    velocity: Float[Array, "b n p"],
    target: Float[Array, "b n p"],
    target_mask: Bool[Array, "b n"],
) -> Float[Array, ""]:
    """Mean squared error per target token of the global batch."""
    error = jnp.mean(jnp.square(velocity - target), axis=-1)
    return jnp.sum(jnp.where(target_mask, error, 0.0)) / jnp.maximum(
        jnp.sum(target_mask), 1
    )

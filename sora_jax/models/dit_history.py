"""The history of a chunk as tokens of the transformer (Helios, arXiv 2603.04379).

Latents before a chunk become tokens by patches of three sizes, the farther in time the
larger. They are the first tokens of a row. One that covers several positions is rotated
by the mean of their rotations.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from sora_jax.config import DiTConfig
from sora_jax.config.history import SCALES
from sora_jax.nn.layers import Linear
from sora_jax.nn.precision import compute_dtype, wide
from sora_jax.nn.rope import rotary_table
from sora_jax.sharding import MeshPlan
from sora_jax.types import Tokens


class HistoryEmbedding(nnx.Module):
    """Patches of several sizes to tokens, each size by a map of its own."""

    def __init__(self, config: DiTConfig, *, rngs: nnx.Rngs):
        dtype = compute_dtype(config.dtype)
        for name, scale in SCALES.items():
            features = scale**3 * config.patch_features
            embed = Linear(
                features,
                config.width,
                axes=(None, "embed"),
                rngs=rngs,
                dtype=dtype,
                optimizer_group="outer",
            )
            setattr(self, name, embed)

    def __call__(self, tokens: Tokens, mesh_plan: MeshPlan) -> Float[Array, "b m d"]:
        """Embed the patches, in the order of the tokens.

        Raises:
          ValueError: the tokens have no history.
        """
        if tokens.history is None:
            raise ValueError("tokens.history is missing: chunks are made from one")
        patches = tokens.history.patches
        parts = [wide(getattr(self, name)(patches[name], mesh_plan)) for name in SCALES]
        return jnp.concatenate(parts, axis=1)


def rotary_of(tokens: Tokens, config: DiTConfig) -> Float[Array, "2 b n 1 half"]:
    """Return cosines and sines of the tokens' coordinates."""
    waves = (config.head_dim, config.theta)
    rotary = rotary_table(tokens.coords, *waves)
    if tokens.history is None:
        return rotary
    covered = jnp.moveaxis(tokens.history.coords, -1, 0)
    mean = jnp.mean(jnp.stack([rotary_table(x, *waves) for x in covered]), axis=0)
    return replace_first(rotary, mean, axis=2)


def replace_first(
    x: Float[Array, "..."], first: Float[Array, "..."], axis: int
) -> Float[Array, "..."]:
    """Put the tokens of a history in the place of the first ones along an axis."""
    rest = jax.lax.slice_in_dim(x, first.shape[axis], x.shape[axis], axis=axis)
    return jnp.concatenate([first, rest], axis=axis)

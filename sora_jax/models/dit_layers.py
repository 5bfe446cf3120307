"""The parts of the diffusion transformer: noise levels, block, MLP."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sora_jax.config import DiTConfig
from sora_jax.models.dit_attention import CrossAttention, KeysValues, SelfAttention
from sora_jax.nn import layers
from sora_jax.nn.flash import Meta
from sora_jax.nn.kv_cache import KVCache
from sora_jax.nn.layers import Linear
from sora_jax.nn.parameters import OptimizerGroup
from sora_jax.nn.precision import compute_dtype
from sora_jax.sharding import SINGLE_DEVICE, MeshPlan
from sora_jax.types import Tokens

Activation = Callable[[Array], Array]


class Levels:
    """The noise levels of each row, and which of them each token has (trace-time)."""

    def __init__(self, tokens: Tokens):
        self.count = tokens.levels.shape[1]
        # A one-hot product: the backward of a gather would be a slow scatter.
        self.one_hot = jax.nn.one_hot(tokens.level_ids, self.count)

    def per_token(self, table: Float[Array, "b k d"]) -> Float[Array, "b n d"]:
        """Give each token its level's vector; one level simply broadcasts."""
        if self.count == 1:
            return table
        return jnp.einsum("bnk,bkd->bnd", self.one_hot, table)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerInputs:
    """What every block reads beside its tokens (trace-time).

    Attributes:
      level_table: modulation of each noise level, to which blocks add their own.
      levels: from levels to tokens.
      rotary: cosines and sines of the tokens' coordinates.
      meta: segments and order of the tokens.
      context_metas: which segment of each context its tokens read, and the segments of
        the context, by name.
      mesh_plan: how devices share the arrays.
      history: how many of the tokens, the first, are the history of a chunk.
    """

    level_table: Float[Array, "b k 6 d"]
    levels: Levels
    rotary: Float[Array, "2 b n 1 half"]
    meta: Meta
    context_metas: dict[str, tuple[Meta, Meta]]
    mesh_plan: MeshPlan
    history: int = 0


class Block(nnx.Module):
    """Self-attention, cross-attention and MLP, modulated by the noise level."""

    def __init__(self, config: DiTConfig, *, rngs: nnx.Rngs):
        d, f, dtype = config.width, config.mlp, compute_dtype(config.dtype)
        modulation = jax.random.normal(rngs.params(), (6, d)) * d**-0.5
        self.modulation = nnx.Param(modulation, axes=(None, "embed"), keep_float32=True)
        self.self_attention = SelfAttention(config, rngs=rngs)
        self.norm_cross = layers.LayerNorm(d, axis="embed")
        self.cross_attention = CrossAttention(config, rngs=rngs)
        self.up = Linear(d, f, axes=("embed", "mlp"), rngs=rngs, dtype=dtype)
        self.down = Linear(f, d, axes=("mlp", "embed"), rngs=rngs, dtype=dtype)
        self.history_reads = config.history is not None and config.history.reads_text

    def __call__(
        self,
        x: Float[Array, "b n d"],
        inputs: LayerInputs,
        memory: dict[str, KeysValues],
        cache: KVCache | None = None,
        residual: Float[Array, "b n d"] | None = None,
    ) -> tuple[Float[Array, "b n d"], KeysValues]:
        """Transform the tokens of one layer.

        Args:
          x: the tokens.
          inputs: what all layers read.
          memory: keys and values of the contexts, by name.
          cache: keys and values of earlier tokens in this layer.
          residual: what is added to the result, as control branches do.

        Returns:
          The tokens, and their keys and values in self-attention.
        """
        mesh_plan, per_token = inputs.mesh_plan, inputs.levels.per_token
        table = inputs.level_table + self.modulation[...][None, None]
        shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = (
            per_token(part) for part in jnp.unstack(table, axis=2)
        )
        y = layers.standardize(x) * (1 + scale_1) + shift_1
        y, keys_values = self.self_attention(
            y, inputs.rotary, inputs.meta, mesh_plan, cache, inputs.history
        )
        x = x + gate_1 * y
        y = self.cross_attention(
            self.norm_cross(x), memory, inputs.context_metas, mesh_plan
        )
        if inputs.history and not self.history_reads:
            y = without_first(y, inputs.history)
        x = x + y
        y = layers.standardize(x) * (1 + scale_2) + shift_2
        y = layers.gelu(self.up(y, mesh_plan))
        x = x + gate_2 * self.down(y, mesh_plan)
        if residual is not None:
            x = x + residual.astype(x.dtype)
        x = mesh_plan.constrain(x, "batch", "tokens", "embed_activation")
        return x, keys_values


def without_first(x: Float[Array, "b n d"], count: int) -> Float[Array, "b n d"]:
    """Set the first tokens to zero."""
    is_first = jnp.arange(x.shape[1]) < count
    return jnp.where(is_first[None, :, None], 0, x)


class Mlp(nnx.Module):
    """Two linear maps with an activation between: the embedding of time and context."""

    def __init__(
        self,
        width_in: int,
        width: int,
        activation: Activation,
        *,
        rngs: nnx.Rngs,
        dtype: DTypeLike,
        optimizer_group: OptimizerGroup = "hidden",
    ):
        options = {"rngs": rngs, "dtype": dtype, "init": layers.normal(0.02)}
        options["optimizer_group"] = optimizer_group
        self.up = Linear(width_in, width, axes=(None, "embed"), **options)
        self.down = Linear(width, width, axes=("embed", None), **options)
        self.activation = activation

    def __call__(
        self, x: Float[Array, "*b c"], mesh_plan: MeshPlan = SINGLE_DEVICE
    ) -> Float[Array, "*b d"]:
        """Embed."""
        return self.down(self.activation(self.up(x, mesh_plan)), mesh_plan)

"""The parts of the diffusion transformer: noise levels, attention, block, MLP."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sora_jax.config import DiTConfig
from sora_jax.nn import layers
from sora_jax.nn.attention import attention
from sora_jax.nn.flash import Meta
from sora_jax.nn.layers import Linear
from sora_jax.nn.parameters import OptimizerGroup
from sora_jax.nn.precision import compute_dtype
from sora_jax.nn.rope import rotate
from sora_jax.sharding import constrain
from sora_jax.types import Tokens

# Keys and values of one context: [b l k e] each, or with a leading axis of layers.
KeysValues = tuple[Array, Array]

Activation = Callable[[Array], Array]


class Levels:
    """The noise levels of each row and which of them each token has (trace-time)."""

    def __init__(self, tokens: Tokens):
        self.count = tokens.levels.shape[1]
        # A one-hot product: the backward of a gather would be a slow scatter.
        self.one_hot = jax.nn.one_hot(tokens.level_ids, self.count)

    def spread(self, table: Float[Array, "b k d"]) -> Float[Array, "b n d"]:
        """Give each token its level's vector; one level simply broadcasts."""
        if self.count == 1:
            return table
        return jnp.einsum("bnk,bkd->bnd", self.one_hot, table)


class SelfAttention(nnx.Module):
    """Rotary self-attention inside segments; queries and keys normed over all heads."""

    def __init__(self, config: DiTConfig, *, rngs: nnx.Rngs):
        d, dtype = config.width, compute_dtype(config.dtype)
        axes = ("embed", None, "heads")
        self.qkv = Linear(d, (3, d), axes=axes, rngs=rngs, dtype=dtype)
        self.norm_q = layers.RMSNorm(d, axis="heads")
        self.norm_k = layers.RMSNorm(d, axis="heads")
        self.out = Linear(d, d, axes=("heads", "embed"), rngs=rngs, dtype=dtype)
        self.heads, self.plan = config.heads, config.attention

    def __call__(
        self, x: Float[Array, "b n d"], rotary: Array, meta: Meta
    ) -> Float[Array, "b n d"]:
        """Mix the tokens of each segment."""
        q, k, v = jnp.unstack(self.qkv(x), axis=2)
        q = rotate(split_heads(self.norm_q(q), self.heads), rotary)
        k = rotate(split_heads(self.norm_k(k), self.heads), rotary)
        v = split_heads(v, self.heads)
        return self.out(
            merge_heads(attention(q, k, v, meta, meta, self.plan, keys_axis="tokens"))
        )


class CrossAttention(nnx.Module):
    """Attention to named contexts, summed before the output projection."""

    def __init__(self, config: DiTConfig, *, rngs: nnx.Rngs):
        d, dtype = config.width, compute_dtype(config.dtype)
        inward = {"axes": ("embed", "heads"), "rngs": rngs, "dtype": dtype}
        self.query = Linear(d, d, **inward)
        self.norm_q = layers.RMSNorm(d, axis="heads")
        names = [name for name, _ in config.contexts]
        self.kv = nnx.Dict(
            {
                name: Linear(
                    d, (2, d), axes=("embed", None, "heads"), rngs=rngs, dtype=dtype
                )
                for name in names
            }
        )
        self.norm_k = nnx.Dict({n: layers.RMSNorm(d, axis="heads") for n in names})
        self.out = Linear(d, d, axes=("heads", "embed"), rngs=rngs, dtype=dtype)
        self.heads, self.plan = config.heads, config.attention

    def remember(self, states: dict[str, Array]) -> dict[str, KeysValues]:
        """Keys and values of each context, the same for every noise level."""
        memory = {}
        for name, state in states.items():
            k, v = jnp.unstack(self.kv[name](state), axis=2)
            k = split_heads(self.norm_k[name](k), self.heads)
            memory[name] = (k, split_heads(v, self.heads))
        return memory

    def __call__(
        self,
        x: Float[Array, "b n d"],
        memory: dict[str, KeysValues],
        metas: dict[str, tuple[Meta, Meta]],
    ) -> Float[Array, "b n d"]:
        """Read the contexts."""
        q = split_heads(self.norm_q(self.query(x)), self.heads)
        attended = jnp.zeros_like(q)
        for name, (k, v) in memory.items():
            attended += attention(q, k, v, *metas[name], self.plan)
        return self.out(merge_heads(attended))


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

    def __call__(
        self,
        x: Float[Array, "b n d"],
        level_table: Float[Array, "b k 6 d"],
        levels: Levels,
        rotary: Array,
        meta: Meta,
        memory: dict[str, KeysValues],
        metas: dict[str, tuple[Meta, Meta]],
    ) -> Float[Array, "b n d"]:
        """Transform the tokens of one layer."""
        table = level_table + self.modulation[...][None, None]
        shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = (
            levels.spread(part) for part in jnp.unstack(table, axis=2)
        )
        y = layers.standardize(x) * (1 + scale_1) + shift_1
        x = x + gate_1 * self.self_attention(y, rotary, meta)
        x = x + self.cross_attention(self.norm_cross(x), memory, metas)
        y = layers.standardize(x) * (1 + scale_2) + shift_2
        x = x + gate_2 * self.down(layers.gelu(self.up(y)))
        return constrain(x, "batch", "tokens", "embed_activation")


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

    def __call__(self, x: Float[Array, "*b c"]) -> Float[Array, "*b d"]:
        """Embed."""
        return self.down(self.activation(self.up(x)))


def split_heads(x: Float[Array, "b n d"], heads: int) -> Float[Array, "b n k e"]:
    """Give each head its channels."""
    return x.reshape(*x.shape[:2], heads, -1)


def merge_heads(x: Float[Array, "b n k e"]) -> Float[Array, "b n d"]:
    """Undo `split_heads`."""
    return x.reshape(*x.shape[:2], -1)

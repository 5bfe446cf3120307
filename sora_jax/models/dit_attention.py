"""The two attentions of a transformer block: among tokens, and to their contexts."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from sora_jax.config import DiTConfig
from sora_jax.nn import layers
from sora_jax.nn.attention import attention, merge_heads, split_heads
from sora_jax.nn.flash import Meta
from sora_jax.nn.kv_cache import KVCache
from sora_jax.nn.layers import Linear
from sora_jax.nn.precision import compute_dtype, wide
from sora_jax.nn.rope import rotate
from sora_jax.sharding import MeshPlan

# Keys and values of tokens or of a context: [b l k e] each, or with a leading axis of
# layers.
KeysValues = tuple[Array, Array]


class SelfAttention(nnx.Module):
    """Rotary self-attention inside segments; queries and keys normed over all heads."""

    def __init__(self, config: DiTConfig, *, rngs: nnx.Rngs):
        d, dtype = config.width, compute_dtype(config.dtype)
        axes = ("embed", None, "heads")
        self.qkv = Linear(d, (3, d), axes=axes, rngs=rngs, dtype=dtype)
        self.norm_q = layers.RMSNorm(d, axis="heads")
        self.norm_k = layers.RMSNorm(d, axis="heads")
        self.out = Linear(d, d, axes=("heads", "embed"), rngs=rngs, dtype=dtype)
        self.heads, self.attention_plan = config.heads, config.attention
        counts = {"none": 0, "scalar": 1, "per_head": config.heads}
        count = counts[config.history.key_scale] if config.history else 0
        self.history_scale = (
            nnx.Param(jnp.ones(count), axes=(None,), keep_float32=True)
            if count
            else None
        )

    def __call__(
        self,
        x: Float[Array, "b n d"],
        rotary: Float[Array, "2 b n 1 half"],
        meta: Meta,
        mesh_plan: MeshPlan,
        cache: KVCache | None = None,
        history: int = 0,
    ) -> tuple[Float[Array, "b n d"], KeysValues]:
        """Mix the tokens of each segment, and of the earlier ones in a cache.

        Args:
          x: the tokens.
          rotary: cosines and sines of their coordinates.
          meta: their segments and order.
          mesh_plan: how devices share the arrays.
          cache: of earlier tokens.
          history: how many of the tokens, the first, are a history.

        Returns:
          The mixed tokens, and their own keys and values.
        """
        q, k, v = jnp.unstack(self.qkv(x, mesh_plan), axis=2)
        q = rotate(split_heads(self.norm_q(q), self.heads), rotary)
        k = rotate(split_heads(self.norm_k(k), self.heads), rotary)
        v = split_heads(v, self.heads)
        if self.history_scale is not None:
            k = scale_first(k, history, self.history_scale[...])
        attended = attention(
            *(q, k, v, meta, meta, self.attention_plan, mesh_plan),
            is_self=True,
            cache=cache,
        )
        return self.out(merge_heads(attended), mesh_plan), (k, v)


def scale_first(
    k: Float[Array, "b n k e"], count: int, scale: Float[Array, " _"]
) -> Float[Array, "b n k e"]:
    """Scale the keys of the first tokens, by 1 to 10."""
    is_first = jnp.arange(k.shape[1]) < count
    factor = jnp.where(is_first[:, None], 1 + 9 * jax.nn.sigmoid(scale)[None], 1.0)
    return (wide(k) * factor[None, :, :, None]).astype(k.dtype)


class CrossAttention(nnx.Module):
    """Attention to the contexts, each through keys and values of its own.

    The queries are shared, and the results summed before the output projection, as in
    Wan's image-to-video.
    """

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
        self.heads, self.attention_plan = config.heads, config.attention

    def project_contexts(
        self, states: dict[str, Array], mesh_plan: MeshPlan
    ) -> dict[str, KeysValues]:
        """Project each context to keys and values, the same for every noise level."""
        memory = {}
        for name, state in states.items():
            k, v = jnp.unstack(self.kv[name](state, mesh_plan), axis=2)
            k = split_heads(self.norm_k[name](k), self.heads)
            memory[name] = (k, split_heads(v, self.heads))
        return memory

    def __call__(
        self,
        x: Float[Array, "b n d"],
        memory: dict[str, KeysValues],
        metas: dict[str, tuple[Meta, Meta]],
        mesh_plan: MeshPlan,
    ) -> Float[Array, "b n d"]:
        """Attend to the contexts, whose results are summed."""
        q = split_heads(self.norm_q(self.query(x, mesh_plan)), self.heads)
        attended = jnp.zeros_like(q)
        for name in sorted(memory):  # a sum of the same order, whoever made the dict
            k, v = memory[name]
            attended += attention(q, k, v, *metas[name], self.attention_plan, mesh_plan)
        return self.out(merge_heads(attended), mesh_plan)

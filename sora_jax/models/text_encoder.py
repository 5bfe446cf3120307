"""The T5 / umT5 text encoder: token ids to states, zero where a text has ended.

Bidirectional self-attention with a learned bias by relative position in every layer
(umT5), gated GELU, RMS norms, no scaling of scores. Source: Raffel et al. 2020; Chung
et al. 2023 (umT5).
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from sora_jax.config import TextConfig
from sora_jax.models.contexts import encoded_before
from sora_jax.nn import layers
from sora_jax.nn.layers import Linear, RMSNorm
from sora_jax.nn.precision import compute_dtype, wide_dtype
from sora_jax.sharding import SINGLE_DEVICE, MeshPlan

PAD = 0


class Attention(nnx.Module):
    """Self-attention with relative position bias and no scale."""

    def __init__(self, config: TextConfig, *, rngs: nnx.Rngs):
        d, inner = config.width, config.heads * config.head_dim
        dtype = compute_dtype(config.dtype)
        options = {"rngs": rngs, "dtype": dtype, "use_bias": False}
        # Without a scale on the scores, the queries start small (T5's initialisation).
        self.query = Linear(
            d,
            inner,
            axes=("embed", "heads"),
            init=layers.normal((d * config.head_dim) ** -0.5),
            **options,
        )
        self.kv = Linear(
            d,
            (2, inner),
            axes=("embed", None, "heads"),
            init=layers.normal(d**-0.5),
            **options,
        )
        self.out = Linear(
            inner,
            d,
            axes=("heads", "embed"),
            init=layers.normal(inner**-0.5),
            **options,
        )
        bias = 0.02 * jax.random.normal(rngs.params(), (config.buckets, config.heads))
        self.position_bias = nnx.Param(bias, axes=(None, "heads"))
        self.heads = config.heads

    def __call__(
        self,
        x: Float[Array, "b l d"],
        buckets: Float[Array, "l m r"],
        mask: Bool[Array, "b l"],
        mesh_plan: MeshPlan,
    ) -> Float[Array, "b l d"]:
        """Mix the tokens of each text."""
        b, length, _ = x.shape
        q = self.query(x, mesh_plan).reshape(b, length, self.heads, -1)
        k, v = (
            part.reshape(b, length, self.heads, -1)
            for part in jnp.unstack(self.kv(x, mesh_plan), axis=2)
        )
        exact = wide_dtype(q.dtype)
        scores = jnp.einsum("blke,bmke->bklm", q, k, preferred_element_type=exact)
        scores += jnp.einsum("lmr,rk->klm", buckets, self.position_bias[...])[None]
        scores = jnp.where(mask[:, None, None], scores, -1e30)
        weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
        attended = jnp.einsum("bklm,bmke->blke", weights, v)
        return self.out(attended.reshape(b, length, -1), mesh_plan)


class Layer(nnx.Module):
    """Attention and gated MLP, each behind a norm."""

    def __init__(self, config: TextConfig, *, rngs: nnx.Rngs):
        d, f, dtype = config.width, config.mlp, compute_dtype(config.dtype)
        options = {"rngs": rngs, "dtype": dtype, "use_bias": False}
        self.norm_1 = RMSNorm(d, axis="embed")
        self.attention = Attention(config, rngs=rngs)
        self.norm_2 = RMSNorm(d, axis="embed")
        # Gate and value side by side.
        self.up = Linear(
            d,
            (2, f),
            axes=("embed", None, "mlp"),
            init=layers.normal(d**-0.5),
            **options,
        )
        self.down = Linear(
            f, d, axes=("mlp", "embed"), init=layers.normal(f**-0.5), **options
        )

    def __call__(
        self,
        x: Float[Array, "b l d"],
        buckets: Float[Array, "l m r"],
        mask: Bool[Array, "b l"],
        mesh_plan: MeshPlan,
    ) -> Float[Array, "b l d"]:
        """Transform the tokens of one layer."""
        x = x + self.attention(self.norm_1(x), buckets, mask, mesh_plan)
        gate, value = jnp.unstack(self.up(self.norm_2(x), mesh_plan), axis=2)
        return x + self.down(layers.gelu(gate) * value, mesh_plan)


class TextEncoder(nnx.Module):
    """Token ids to text states."""

    def __init__(self, config: TextConfig, *, rngs: nnx.Rngs):
        self.config = config
        table = jax.random.normal(rngs.params(), (config.vocabulary, config.width))
        self.embedding = nnx.Param(
            table, axes=("vocabulary", "embed"), optimizer_group="outer"
        )
        keys = jax.random.split(rngs.params(), config.depth)
        self.layers = jax.vmap(lambda key: Layer(config, rngs=nnx.Rngs(key)))(keys)
        self.norm = RMSNorm(config.width, axis="embed")

    def __call__(
        self, ids: Int[Array, "b l"], mesh_plan: MeshPlan = SINGLE_DEVICE
    ) -> Float[Array, "b l d"]:
        """Encode texts; the states of padding are zeros, as Wan feeds them on."""
        mask = ids != PAD
        x = jnp.take(self.embedding[...], ids, axis=0)
        x = x.astype(wide_dtype(compute_dtype(self.config.dtype)))
        x = mesh_plan.constrain(x, "batch", None, None)
        buckets = position_buckets(
            ids.shape[1], self.config.buckets, self.config.max_distance
        )

        def body(x: Array, layer: Layer) -> tuple[Array, None]:
            x = layer(x, jnp.asarray(buckets), mask, mesh_plan)
            return mesh_plan.constrain(x, "batch", None, None), None

        x, _ = jax.lax.scan(body, x, self.layers, unroll=self.config.unroll)
        return jnp.where(mask[..., None], self.norm(x), 0.0)

    def encode(
        self, inputs: Int[Array, "b s l"], mesh_plan: MeshPlan = SINGLE_DEVICE
    ) -> tuple[Float[Array, "b m d"], Int[Array, "b m"]]:
        """Encode the captions of rows; see `contexts.ContextEncoder`.

        Returns:
          States, and the segment of each: captions count from 1, and m = s * l.
        """
        b, captions, length = inputs.shape
        states = self(inputs.reshape(b * captions, length), mesh_plan)
        return encoded_before(states.reshape(b, captions, length, -1))


def position_buckets(
    length: int, buckets: int, max_distance: int
) -> Float[np.ndarray, "l m r"]:
    """One-hot bucket of each (query, key) distance (T5: exact, then logarithmic)."""
    distance = np.arange(length)[None, :] - np.arange(length)[:, None]
    half = buckets // 2
    exact = half // 2
    magnitude = np.abs(distance)
    logarithmic = exact + (
        np.log(np.maximum(magnitude, 1).astype(np.float32) / exact)
        / math.log(max_distance / exact)
        * (half - exact)
    ).astype(np.int64)
    bucket = np.where(magnitude < exact, magnitude, np.minimum(logarithmic, half - 1))
    bucket += half * (distance > 0)
    return np.eye(buckets, dtype=np.float32)[bucket]

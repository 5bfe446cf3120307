"""The kernel in plain XLA: block by block of queries, with the scores of one block."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array

from sora_jax.nn.flash import NEGLIGIBLE, Meta, pad_to_multiple, visible
from sora_jax.nn.precision import wide, wide_dtype


@dataclasses.dataclass(frozen=True)
class BlockKernel:
    """Attends with at most `most_scores` scores (batch x heads x queries x keys)."""

    most_scores: int

    def forward(
        self, q: Array, k: Array, v: Array, q_meta: Meta, kv_meta: Meta
    ) -> tuple[Array, Array]:
        """See `flash.Kernel`."""

        def one(block: tuple) -> tuple[Array, Array]:
            queries, meta = block
            scores, seen = _scores(queries, meta, k, kv_meta)
            sums = jax.nn.logsumexp(scores, axis=-1)
            weights = jnp.where(seen, jnp.exp(scores - sums[..., None]), 0.0)
            out = jnp.einsum("bknm,bkme->bkne", weights.astype(v.dtype), v)
            return out, jnp.where(seen.any(axis=-1), sums, NEGLIGIBLE)

        out, sums = jax.lax.map(one, self._split(q, k, (q, q_meta)))
        return _join(out, q), _join(sums, q)

    def backward(
        self,
        q: Array,
        k: Array,
        v: Array,
        q_meta: Meta,
        kv_meta: Meta,
        out: Array,
        sums: Array,
        d_out: Array,
    ) -> tuple[Array, Array, Array]:
        """See `flash.Kernel`."""
        exact = wide_dtype(q.dtype)

        def one(carry: tuple[Array, Array], block: tuple) -> tuple:
            d_k, d_v = carry
            queries, meta, out, sums, d_out = block
            scores, seen = _scores(queries, meta, k, kv_meta)
            weights = jnp.where(seen, jnp.exp(scores - sums[..., None]), 0.0)
            d_out = wide(d_out)
            d_weights = jnp.einsum(
                "bkne,bkme->bknm", d_out, v, preferred_element_type=exact
            )
            inner = jnp.sum(wide(out) * d_out, axis=-1, keepdims=True)
            d_scores = weights * (d_weights - inner) * _scale(q)
            d_q = jnp.einsum(
                "bknm,bkme->bkne", d_scores, k, preferred_element_type=exact
            )
            d_k += jnp.einsum(
                "bknm,bkne->bkme", d_scores, queries, preferred_element_type=exact
            )
            d_v += jnp.einsum(
                "bknm,bkne->bkme", weights, d_out, preferred_element_type=exact
            )
            return (d_k, d_v), d_q.astype(q.dtype)

        zeros = jnp.zeros_like(wide(k)), jnp.zeros_like(wide(v))
        blocks = self._split(q, k, (q, q_meta, out, sums, d_out))
        (d_k, d_v), d_q = jax.lax.scan(one, zeros, blocks)
        return _join(d_q, q), d_k.astype(k.dtype), d_v.astype(v.dtype)

    def _split(self, q: Array, k: Array, tree: tuple) -> tuple:
        """Cut the queries' arrays into blocks, stacked on a new first axis."""
        b, heads, n, _ = q.shape
        blocks = min(n, math.ceil(b * heads * n * k.shape[2] / self.most_scores))
        length = math.ceil(n / blocks)

        def split(x: Array) -> Array:
            axis = 1 if x.ndim == 2 else 2  # of segments and order, or of heads
            x = pad_to_multiple(x, length * blocks, axis)
            x = x.reshape(*x.shape[:axis], blocks, length, *x.shape[axis + 1 :])
            return jnp.moveaxis(x, axis, 0)

        return jax.tree.map(split, tree)


def _scores(q: Array, q_meta: Meta, k: Array, kv_meta: Meta) -> tuple[Array, Array]:
    """Scaled scores, and which keys are seen; scores of the others are negligible."""
    seen = visible(q_meta, kv_meta)[:, None]
    exact = wide_dtype(q.dtype)
    products = jnp.einsum("bkne,bkme->bknm", q, k, preferred_element_type=exact)
    # A finite floor: rows without any visible key stay finite.
    return jnp.where(seen, products * _scale(q), NEGLIGIBLE), seen


def _scale(q: Array) -> float:
    return q.shape[-1] ** -0.5


def _join(blocks: Array, q: Array) -> Array:
    """Undo `_split`, whose blocks are [blocks b k length ...]."""
    joined = jnp.moveaxis(blocks, 0, 2)
    b, heads, count, length, *rest = joined.shape
    return joined.reshape(b, heads, count * length, *rest)[:, :, : q.shape[2]]

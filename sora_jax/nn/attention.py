"""The DiT's one attention entry: packed segments, causal order, and a frozen plan.

Queries and keys may have different lengths and segments, so self-attention and
cross-attention are the same call. The plan says how it is computed, never what.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

from sora_jax.config import AttentionPlan

DEFAULT_PLAN = AttentionPlan()


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Meta:
    """What attention must know of each position: segment (0 = padding) and order."""

    segments: Int[Array, "b n"]
    order: Int[Array, "b n"] | None = None


def visible(q_meta: Meta, kv_meta: Meta) -> Bool[Array, "b n m"]:
    """Which keys each query attends to: its own segment, nothing of a later order."""
    query, key = q_meta.segments[:, :, None], kv_meta.segments[:, None, :]
    mask = (query == key) & (query > 0)
    if q_meta.order is not None and kv_meta.order is not None:
        mask &= kv_meta.order[:, None, :] <= q_meta.order[:, :, None]
    return mask


def attention(
    q: Float[Array, "b n k e"],
    k: Float[Array, "b m k e"],
    v: Float[Array, "b m k e"],
    q_meta: Meta,
    kv_meta: Meta,
    plan: AttentionPlan = DEFAULT_PLAN,
) -> Float[Array, "b n k e"]:
    """Softmax attention inside segments; softmax in float32.

    A query that sees no key (padding) returns zeros.
    """
    if plan.kernel != "xla":
        raise ValueError(f"attention.kernel must be 'xla', got {plan.kernel!r}")
    b, n, heads, _ = q.shape
    scores = b * n * heads * k.shape[1]
    blocks = min(n, -(-scores // plan.most_scores))
    if blocks == 1:
        return attend(q, k, v, visible(q_meta, kv_meta))

    @jax.checkpoint
    def one(block: tuple[Array, Array, Array | None]) -> Array:
        queries, segments, order = block
        mask = visible(Meta(segments=segments, order=order), kv_meta)
        return attend(queries, k, v, mask)

    queries = (q, q_meta.segments, q_meta.order)
    out = jax.lax.map(one, jax.tree.map(lambda x: split(x, blocks), queries))
    return out.swapaxes(0, 1).reshape(b, -1, *out.shape[3:])[:, :n]


def split(x: Shaped[Array, "b n ..."], blocks: int) -> Shaped[Array, "s b m ..."]:
    """Cut queries into blocks of equal length, the last padded with zeros."""
    b, n, *rest = x.shape
    length = -(-n // blocks)
    padding = [(0, 0), (0, length * blocks - n)] + [(0, 0)] * len(rest)
    return jnp.pad(x, padding).reshape(b, blocks, length, *rest).swapaxes(0, 1)


def attend(
    q: Float[Array, "b n k e"],
    k: Float[Array, "b m k e"],
    v: Float[Array, "b m k e"],
    mask: Bool[Array, "b n m"],
) -> Float[Array, "b n k e"]:
    """Attention with all scores in memory."""
    scores = jnp.einsum("bnke,bmke->bknm", q, k, preferred_element_type=jnp.float32)
    # A finite floor: rows without any visible key stay finite in value and gradient.
    scores = jnp.where(mask[:, None], scores * q.shape[-1] ** -0.5, -1e30)
    weights = jax.nn.softmax(scores, axis=-1)
    weights = jnp.where(mask[:, None], weights, 0.0).astype(v.dtype)
    return jnp.einsum("bknm,bmke->bnke", weights, v)

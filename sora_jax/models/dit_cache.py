"""The transformer's keys and values of finished frames, in a cache of fixed size."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Int

from sora_jax.models.dit import DiT, Memory
from sora_jax.nn.flash import Meta
from sora_jax.nn.kv_cache import KVCache
from sora_jax.nn.precision import compute_dtype
from sora_jax.sharding import SINGLE_DEVICE, MeshPlan
from sora_jax.types import Context, Tokens

# Logical axes of keys and values in all layers: [layers b m k e].
AXES = (None, "batch", None, "heads", None)


def empty_cache(
    dit: DiT, rows: int, tokens: int, mesh_plan: MeshPlan = SINGLE_DEVICE
) -> KVCache:
    """Return a cache in which no token is yet.

    Args:
      dit: the transformer.
      rows: of packed tokens.
      tokens: of each row that it has room for.
      mesh_plan: how devices share it.
    """
    config = dit.config
    shape = (config.depth, rows, tokens, config.heads, config.head_dim)
    dtype, where = compute_dtype(config.dtype), mesh_plan.sharding(AXES, shape)
    k, v = (jnp.zeros(shape, dtype, device=where) for _ in range(2))
    where = mesh_plan.sharding(AXES[1:3], shape[1:3])
    return KVCache(k, v, Meta(jnp.zeros(shape[1:3], jnp.int32, device=where)))


def write_cache(
    dit: DiT,
    tokens: Tokens,
    contexts: dict[str, Context],
    memory: Memory | None,
    mesh_plan: MeshPlan,
    cache: KVCache,
    slots: Int[Array, " t"],
    size: int,
) -> KVCache:
    """Put the keys and values of clean tokens into the slots of their frames.

    Args:
      dit: the transformer.
      tokens: t frames, one after another, and perhaps padding; without an order.
      contexts: what they attend to.
      memory: of the contexts.
      mesh_plan: how devices share the arrays.
      cache: of earlier frames, to which these attend; without an order.
      slots: of each frame; -1 drops it.
      size: tokens of a frame.
    """
    x, _, inputs = dit.embed_inputs(tokens, contexts, mesh_plan)
    _, keys_values = dit.run_layers(
        x, inputs, tokens, contexts, memory, cache, keeps_cache=True
    )
    assert keys_values is not None
    written = cache.write(*keys_values, inputs.meta, slots, size)
    k, v = (mesh_plan.constrain(x, *AXES) for x in (written.k, written.v))
    return written._replace(k=k, v=v)

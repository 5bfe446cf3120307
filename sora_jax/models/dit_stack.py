"""The blocks of the diffusion transformer, one after another: `scan` and remat."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from sora_jax.config import DiTConfig
from sora_jax.models.dit_attention import KeysValues
from sora_jax.models.dit_layers import Block, LayerInputs
from sora_jax.nn import layers
from sora_jax.nn.flash import SAVED
from sora_jax.nn.kv_cache import KVCache

REMAT = {
    # Where devices store parts of parameters, no device is to keep all of them.
    "none": jax.checkpoint_policies.save_anything_except_these_names(layers.GATHERED),
    "full": jax.checkpoint_policies.nothing_saveable,
    "attention": jax.checkpoint_policies.save_only_these_names(*SAVED),
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}
# What one layer has of its own: block, memory, earlier keys and values, residual.
LayerSlice = tuple[Block, dict[str, KeysValues] | None, KeysValues | None, Array | None]


def run_blocks(
    config: DiTConfig,
    blocks: Block,
    x: Float[Array, "b n d"],
    inputs: LayerInputs,
    states: dict[str, Array],
    memory: dict[str, KeysValues] | None,
    cache: KVCache | None,
    residuals: Float[Array, "m b n d"] | None,
    slots: Sequence[int] | None = None,
    *,
    keeps_cache: bool,
) -> tuple[Float[Array, "b n d"], KeysValues | None]:
    """Pass tokens through all layers.

    Args:
      config: of the transformer.
      blocks: whose parameters have a leading axis of layers.
      x: the tokens.
      inputs: what all layers read.
      states: the embedded contexts, which each layer projects without a memory.
      memory: keys and values of the contexts in all layers.
      cache: of earlier tokens, in all layers.
      residuals: what is added after blocks.
      slots: the layers after which that is; None: after each.
      keeps_cache: whether to return keys and values.

    Returns:
      The tokens and, if asked for, their keys and values in all layers.
    """

    def run_block(x: Array, layer: LayerSlice) -> tuple[Array, KeysValues | None]:
        block, memory, earlier, residual = layer
        if memory is None:
            memory = block.cross_attention.project_contexts(states, inputs.mesh_plan)
        past = None
        if cache is not None and earlier is not None:
            past = KVCache(*earlier, cache.meta)
        if slots is not None and residuals is not None and residual is not None:
            residual = at_slot(residuals, residual)
        x, keys_values = block(x, inputs, memory, past, residual)
        return x, keys_values if keeps_cache else None

    if config.remat != "none" or inputs.mesh_plan.devices > 1:
        run_block = jax.checkpoint(run_block, policy=REMAT[config.remat])
    earlier = None if cache is None else (cache.k, cache.v)
    own = residuals if slots is None else slots_of_layers(slots, config.depth)
    stacked = (blocks, memory, earlier, own)
    return jax.lax.scan(run_block, x, stacked, unroll=config.unroll)


def slots_of_layers(layers: Sequence[int], depth: int) -> Int[Array, " depth"]:
    """Return which residual each layer adds; -1 for none."""
    slots = [layers.index(layer) if layer in layers else -1 for layer in range(depth)]
    return jnp.asarray(slots, jnp.int32)


def at_slot(
    residuals: Float[Array, "m b n d"], slot: Int[Array, ""]
) -> Float[Array, "b n d"]:
    """Return a residual; zeros for slot -1."""
    found = jax.lax.dynamic_index_in_dim(
        residuals, jnp.maximum(slot, 0), keepdims=False
    )
    return jnp.where(slot >= 0, found, 0)

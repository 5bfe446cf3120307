"""The diffusion transformer: packed tokens and their contexts to a velocity per token.

Wan's block (arXiv 2503.20314, section 4.2) between an embedding and a head. The
transformer never sees a video's shape: only tokens, their coordinates, which sample
each belongs to and how noisy each is. The blocks are one stack of parameters, run by
`scan`; modulation is looked up by noise level, never stored per token.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from sora_jax import sharding
from sora_jax.config import DiTConfig
from sora_jax.models.dit_layers import Block, KeysValues, Levels, Mlp
from sora_jax.nn import layers
from sora_jax.nn.flash import SAVED, Meta
from sora_jax.nn.layers import Linear
from sora_jax.nn.precision import compute_dtype, wide, wide_dtype
from sora_jax.nn.rope import rotary_table
from sora_jax.sharding import constrain
from sora_jax.types import Context, Tokens

REMAT = {
    # Where devices store parts of parameters, no device is to keep all of them.
    "none": jax.checkpoint_policies.save_anything_except_these_names(layers.GATHERED),
    "full": jax.checkpoint_policies.nothing_saveable,
    "attention": jax.checkpoint_policies.save_only_these_names(*SAVED),
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}


class DiT(nnx.Module):
    """A velocity field over packed spacetime patches."""

    def __init__(self, config: DiTConfig, *, rngs: nnx.Rngs):
        d, dtype = config.width, compute_dtype(config.dtype)
        self.config = config
        self.embed = Linear(
            config.patch_features + config.extra_features,
            d,
            axes=(None, "embed"),
            rngs=rngs,
            dtype=dtype,
            optimizer_group="outer",
        )
        self.place = (
            Linear(
                config.head_dim,
                d,
                axes=(None, "embed"),
                rngs=rngs,
                dtype=wide_dtype(dtype),
                optimizer_group="outer",
            )
            if config.position_embedding
            else None
        )
        # Time enters at least in float32: its features are fine-grained.
        self.time = Mlp(
            config.time_features,
            d,
            jax.nn.silu,
            rngs=rngs,
            dtype=wide_dtype(dtype),
            optimizer_group="outer",
        )
        self.time_table = Linear(
            d,
            (6, d),
            axes=("embed", None, None),
            rngs=rngs,
            dtype=wide_dtype(dtype),
            optimizer_group="outer",
        )
        self.contexts = nnx.Dict(
            {
                name: Mlp(features, d, layers.gelu, rngs=rngs, dtype=dtype)
                for name, features in config.contexts
            }
        )
        keys = jax.random.split(rngs.params(), config.depth)
        self.blocks = jax.vmap(lambda key: Block(config, rngs=nnx.Rngs(key)))(keys)
        modulation = jax.random.normal(rngs.params(), (2, d)) * d**-0.5
        self.head_modulation = nnx.Param(
            modulation, axes=(None, "embed"), keep_float32=True
        )
        self.head = Linear(
            d,
            config.patch_features,
            axes=("embed", None),
            rngs=rngs,
            dtype=dtype,
            init=layers.zeros,
            optimizer_group="outer",
        )

    def remember(self, contexts: dict[str, Context]) -> dict[str, KeysValues]:
        """Keys and values of the contexts for all layers: once per prompt."""
        states = self.embed_contexts(contexts)
        attend = self.blocks.cross_attention
        # One layer at a time, for whose parameters devices have room.
        return jax.lax.map(lambda layer: layer.remember(states), attend)

    def embed_contexts(self, contexts: dict[str, Context]) -> dict[str, Array]:
        """Map each context's states to the width of the transformer."""
        return {name: self.contexts[name](c.states) for name, c in contexts.items()}

    def __call__(
        self,
        tokens: Tokens,
        contexts: dict[str, Context],
        memory: dict[str, KeysValues] | None = None,
    ) -> Float[Array, "b n p"]:
        """Predict the velocity of every token.

        Args:
          tokens: the packed rows.
          contexts: what the tokens attend to, by name.
          memory: the result of `remember(contexts)`, when it is reused.
        """
        x = self.embed(jnp.concatenate([tokens.x, tokens.extra], axis=-1))
        rotary = rotary_table(tokens.coords, self.config.head_dim, self.config.theta)
        x = wide(x)
        if self.place is not None:
            cos, sin = rotary[..., 0, :]
            x = x + self.place(jnp.concatenate([cos, sin], axis=-1))
        x = constrain(x, "batch", "tokens", "embed_activation")
        levels = Levels(tokens)
        # Wan's time runs from 0 to 1000.
        time = self.time(
            layers.sinusoid(tokens.levels * 1000, self.config.time_features)
        )
        level_table = self.time_table(jax.nn.silu(time))
        meta = Meta(segments=tokens.segments, order=tokens.order)
        metas = {
            name: (Meta(segments=c.ids), Meta(segments=c.segments))
            for name, c in contexts.items()
        }
        # Unread when the memory is given.
        states = self.embed_contexts(contexts) if memory is None else {}

        def run_block(x: Array, block: Block, memory: dict | None) -> Array:
            if memory is None:
                memory = block.cross_attention.remember(states)
            return block(x, level_table, levels, rotary, meta, memory, metas)

        if self.config.remat != "none" or sharding.devices() > 1:
            run_block = jax.checkpoint(run_block, policy=REMAT[self.config.remat])

        def body(x: Array, layer: tuple) -> tuple[Array, None]:
            return run_block(x, *layer), None

        x, _ = jax.lax.scan(body, x, (self.blocks, memory), unroll=self.config.unroll)
        table = time[:, :, None] + self.head_modulation[...][None, None]
        shift, scale = (levels.spread(part) for part in jnp.unstack(table, axis=2))
        return wide(self.head(layers.standardize(x) * (1 + scale) + shift))

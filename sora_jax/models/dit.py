"""The diffusion transformer: packed tokens and their contexts to a velocity per token.

Wan's block (arXiv 2503.20314, section 4.2) between an embedding and a head. The
transformer never sees a video's shape: only tokens, their coordinates, which sample
each belongs to and how noisy each is. The blocks are one stack of parameters, run by
`scan`; modulation is looked up by noise level, never stored per token.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from sora_jax.config import DiTConfig
from sora_jax.models.context_embeddings import embedding_of
from sora_jax.models.dit_attention import KeysValues
from sora_jax.models.dit_control import ControlBranch
from sora_jax.models.dit_history import HistoryEmbedding, replace_first, rotary_of
from sora_jax.models.dit_layers import Block, LayerInputs, Levels, Mlp
from sora_jax.models.dit_stack import run_blocks
from sora_jax.nn import layers
from sora_jax.nn.flash import Meta
from sora_jax.nn.kv_cache import KVCache
from sora_jax.nn.layers import Linear
from sora_jax.nn.precision import compute_dtype, wide, wide_dtype
from sora_jax.sharding import SINGLE_DEVICE, MeshPlan
from sora_jax.types import Context, Tokens


class Memory(NamedTuple):
    """Keys and values of the contexts, by name, in all layers.

    Attributes:
      blocks: in those of the transformer; None: they are projected when they are read.
      control: in those of its control branch.
    """

    blocks: dict[str, KeysValues] | None = None
    control: dict[str, KeysValues] | None = None


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
                name: embedding_of(name, features, config, rngs)
                for name, features in config.contexts
            }
        )
        keys = jax.random.split(rngs.params(), config.depth)
        self.blocks = jax.vmap(lambda key: Block(config, rngs=nnx.Rngs(key)))(keys)
        self.control = (
            ControlBranch(config, rngs=rngs) if config.control_layers else None
        )
        self.history = HistoryEmbedding(config, rngs=rngs) if config.history else None
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

    def project_contexts(
        self, contexts: dict[str, Context], mesh_plan: MeshPlan = SINGLE_DEVICE
    ) -> Memory:
        """Keys and values of the contexts for all layers, computed once per prompt."""
        states = self.embed_contexts(contexts, mesh_plan)
        attend = self.blocks.cross_attention
        # One layer at a time, for whose parameters devices have room.
        blocks = jax.lax.map(
            lambda layer: layer.project_contexts(states, mesh_plan), attend
        )
        control = None
        if self.control is not None:
            control = self.control.project_contexts(states, mesh_plan)
        return Memory(blocks, control)

    def embed_contexts(
        self, contexts: dict[str, Context], mesh_plan: MeshPlan
    ) -> dict[str, Array]:
        """Map each context's states to the width of the transformer.

        Raises:
          ValueError: the transformer was not built for a context of that name.
        """
        if unknown := sorted(set(contexts) - set(self.contexts)):
            raise ValueError(
                f"contexts must be among {sorted(self.contexts)}, got {unknown}: add "
                "them to dit.contexts"
            )
        return {
            name: self.contexts[name](context.states, mesh_plan)
            for name, context in contexts.items()
        }

    def __call__(
        self,
        tokens: Tokens,
        contexts: dict[str, Context],
        memory: Memory | None = None,
        mesh_plan: MeshPlan = SINGLE_DEVICE,
        *,
        cache: KVCache | None = None,
        residuals: Float[Array, "layers b n d"] | None = None,
    ) -> Float[Array, "b n p"]:
        """Predict the velocity of every token.

        Args:
          tokens: the packed rows.
          contexts: what the tokens attend to, by name.
          memory: the result of `project_contexts(contexts)`, when it is reused.
          mesh_plan: how devices share the arrays.
          cache: of earlier tokens (see `with_cache`), to which these attend too.
          residuals: what is added after each block, as control branches do.
        """
        arguments = (tokens, contexts, memory, mesh_plan, cache, residuals)
        return self._run(*arguments, keeps_cache=False)[0]

    def with_cache(
        self,
        tokens: Tokens,
        contexts: dict[str, Context],
        memory: Memory | None = None,
        mesh_plan: MeshPlan = SINGLE_DEVICE,
        *,
        cache: KVCache | None = None,
        residuals: Float[Array, "layers b n d"] | None = None,
    ) -> tuple[Float[Array, "b n p"], KVCache]:
        """Predict velocities, and keep keys and values for later tokens.

        Rows may so be given in parts, one after another: where `tokens.order` hides
        each later part from those before, the parts equal the whole.

        Returns:
          The velocity, and the cache with these tokens behind the earlier ones.
        """
        arguments = (tokens, contexts, memory, mesh_plan, cache, residuals)
        velocity, keys_values = self._run(*arguments, keeps_cache=True)
        assert keys_values is not None
        meta = Meta(segments=tokens.segments, order=tokens.order)
        if cache is None:
            return velocity, KVCache(*keys_values, meta)
        return velocity, cache.append(*keys_values, meta)

    def _run(
        self,
        tokens: Tokens,
        contexts: dict[str, Context],
        memory: Memory | None,
        mesh_plan: MeshPlan,
        cache: KVCache | None,
        residuals: Float[Array, "layers b n d"] | None,
        *,
        keeps_cache: bool,
    ) -> tuple[Float[Array, "b n p"], KeysValues | None]:
        """Velocity and, if asked for, keys and values of the tokens in all layers."""
        x, time, inputs = self.embed_inputs(tokens, contexts, mesh_plan)
        x, keys_values = self.run_layers(
            *(x, inputs, tokens, contexts, memory, cache, residuals),
            keeps_cache=keeps_cache,
        )
        return self.read_out(x, time, inputs), keys_values

    def run_layers(
        self,
        x: Float[Array, "b n d"],
        inputs: LayerInputs,
        tokens: Tokens,
        contexts: dict[str, Context],
        memory: Memory | None,
        cache: KVCache | None = None,
        residuals: Float[Array, "layers b n d"] | None = None,
        *,
        keeps_cache: bool = False,
    ) -> tuple[Float[Array, "b n d"], KeysValues | None]:
        """Pass embedded tokens through all layers, and the control branch beside."""
        # Unread when the memory is given.
        states = {}
        if memory is None:
            states = self.embed_contexts(contexts, inputs.mesh_plan)
        known = Memory() if memory is None else memory
        slots = None
        if self.control is not None:
            residuals = self.control(tokens, x, inputs, states, known.control)
            slots = self.config.control_layers
        return run_blocks(
            *(self.config, self.blocks, x, inputs, states, known.blocks, cache),
            *(residuals, slots),
            keeps_cache=keeps_cache,
        )

    def read_out(
        self, x: Float[Array, "b n d"], time: Float[Array, "b k d"], inputs: LayerInputs
    ) -> Float[Array, "b n p"]:
        """Map the last block's output to velocities."""
        per_token = inputs.levels.per_token
        table = time[:, :, None] + self.head_modulation[...][None, None]
        shift, scale = (per_token(part) for part in jnp.unstack(table, axis=2))
        y = layers.standardize(x) * (1 + scale) + shift
        return wide(self.head(y, inputs.mesh_plan))

    def embed_inputs(
        self, tokens: Tokens, contexts: dict[str, Context], mesh_plan: MeshPlan
    ) -> tuple[Float[Array, "b n d"], Float[Array, "b k d"], LayerInputs]:
        """Embed tokens and noise levels, and gather what all layers read."""
        time = self.embed_time(tokens.levels, mesh_plan)
        rotary = rotary_of(tokens, self.config)
        inputs = LayerInputs(
            level_table=self.time_table(jax.nn.silu(time), mesh_plan),
            levels=Levels(tokens),
            rotary=rotary,
            meta=Meta(segments=tokens.segments, order=tokens.order),
            context_metas={
                name: (Meta(segments=c.ids), Meta(segments=c.segments))
                for name, c in contexts.items()
            },
            mesh_plan=mesh_plan,
            history=0 if tokens.history is None else tokens.history.coords.shape[1],
        )
        return self.embed_tokens(tokens, rotary, mesh_plan), time, inputs

    def embed_tokens(
        self, tokens: Tokens, rotary: Float[Array, "2 b n 1 half"], mesh_plan: MeshPlan
    ) -> Float[Array, "b n d"]:
        """Embed latents, conditioning channels and, where asked, absolute positions."""
        channels = jnp.concatenate([tokens.x, tokens.extra], axis=-1)
        x = wide(self.embed(channels, mesh_plan))
        if self.history is not None:
            x = replace_first(x, self.history(tokens, mesh_plan), axis=1)
        if self.place is not None:
            cos, sin = rotary[..., 0, :]
            x = x + self.place(jnp.concatenate([cos, sin], axis=-1), mesh_plan)
        return mesh_plan.constrain(x, "batch", "tokens", "embed_activation")

    def embed_time(
        self, levels: Float[Array, "b k"], mesh_plan: MeshPlan
    ) -> Float[Array, "b k d"]:
        """Embed noise levels; Wan's time runs from 0 to 1000."""
        features = layers.sinusoid(levels * 1000, self.config.time_features)
        return self.time(features, mesh_plan)

"""The control branch of a diffusion transformer (VACE, arXiv 2503.07598).

Blocks beside the transformer's own read a second sequence of tokens, made of a control
video, and add to the tokens after some of its layers. A fresh branch adds nothing.
"""

from __future__ import annotations

import jax
from flax import nnx
from jaxtyping import Array, Float

from sora_jax.config import DiTConfig
from sora_jax.models.dit_attention import KeysValues
from sora_jax.models.dit_layers import Block, LayerInputs
from sora_jax.nn import layers
from sora_jax.nn.layers import Linear
from sora_jax.nn.precision import compute_dtype, wide
from sora_jax.sharding import MeshPlan
from sora_jax.types import Tokens


class ControlBlock(nnx.Module):
    """A block like the transformer's, and the map to what it adds there."""

    def __init__(self, config: DiTConfig, *, rngs: nnx.Rngs):
        d, dtype = config.width, compute_dtype(config.dtype)
        self.block = Block(config, rngs=rngs)
        self.out = Linear(
            d, d, axes=("embed", None), rngs=rngs, dtype=dtype, init=layers.zeros
        )


class ControlBranch(nnx.Module):
    """Tokens of a control video to what is added after layers of the transformer."""

    def __init__(self, config: DiTConfig, *, rngs: nnx.Rngs):
        d, dtype = config.width, compute_dtype(config.dtype)
        self.embed = Linear(
            config.control_features,
            d,
            axes=(None, "embed"),
            rngs=rngs,
            dtype=dtype,
            optimizer_group="outer",
        )
        self.enter = Linear(
            d, d, axes=("embed", None), rngs=rngs, dtype=dtype, init=layers.zeros
        )
        keys = jax.random.split(rngs.params(), len(config.control_layers))
        self.blocks = jax.vmap(lambda k: ControlBlock(config, rngs=nnx.Rngs(k)))(keys)

    def project_contexts(
        self, states: dict[str, Array], mesh_plan: MeshPlan
    ) -> dict[str, KeysValues]:
        """Keys and values of the contexts for all blocks of the branch."""
        attend = self.blocks.block.cross_attention
        return jax.lax.map(
            lambda layer: layer.project_contexts(states, mesh_plan), attend
        )

    def __call__(
        self,
        tokens: Tokens,
        x: Float[Array, "b n d"],
        inputs: LayerInputs,
        states: dict[str, Array],
        memory: dict[str, KeysValues] | None,
    ) -> Float[Array, "m b n d"]:
        """Return what is added after each of `DiTConfig.control_layers`.

        Args:
          tokens: whose `control` lies beside the tokens of the same place.
          x: the embedded tokens, before the first layer.
          inputs: what all layers read.
          states: the embedded contexts, which blocks project without a memory.
          memory: keys and values of the contexts in all blocks of the branch.

        Raises:
          ValueError: the tokens have no control.
        """
        if tokens.control is None:
            raise ValueError("tokens.control is missing: the control branch reads it")
        mesh_plan = inputs.mesh_plan
        y = wide(self.embed(tokens.control, mesh_plan))
        y = wide(self.enter(y, mesh_plan)) + x

        def run(y: Array, layer: tuple) -> tuple[Array, Array]:
            part, known = layer
            if known is None:
                known = part.block.cross_attention.project_contexts(states, mesh_plan)
            y, _ = part.block(y, inputs, known)
            return y, part.out(y, mesh_plan)

        if mesh_plan.devices > 1:  # parameters are gathered again for the gradient
            run = jax.checkpoint(run)
        _, added = jax.lax.scan(run, y, (self.blocks, memory))
        if tokens.control_scale is None:
            return added
        return added * tokens.control_scale.T[:, :, None, None].astype(added.dtype)

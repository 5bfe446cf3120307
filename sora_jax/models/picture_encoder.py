"""The vision tower of CLIP: pictures to states of their patches.

A ViT with a class token and learned positions, norms before attention and MLP, and the
exact GELU. Its states are those before the last layer, as Wan's image-to-video models
read them. Source: Radford et al. 2021; OpenCLIP's ViT-H/14.
"""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from sora_jax.config import PictureConfig
from sora_jax.data.patches import patchify
from sora_jax.models.contexts import encoded_before
from sora_jax.nn.attention import attend, merge_heads, split_heads
from sora_jax.nn.layers import LayerNorm, Linear
from sora_jax.nn.precision import compute_dtype, wide, wide_dtype
from sora_jax.sharding import SINGLE_DEVICE, MeshPlan

EPS = 1e-5
exact_gelu = partial(jax.nn.gelu, approximate=False)


class PictureLayer(nnx.Module):
    """Attention and MLP, each behind a norm."""

    def __init__(self, config: PictureConfig, *, rngs: nnx.Rngs):
        d, f = config.width, config.mlp
        options = {"rngs": rngs, "dtype": compute_dtype(config.dtype)}
        self.norm_1 = LayerNorm(d, axis="embed", eps=EPS)
        self.qkv = Linear(d, (3, d), axes=("embed", None, "heads"), **options)
        self.out = Linear(d, d, axes=("heads", "embed"), **options)
        self.norm_2 = LayerNorm(d, axis="embed", eps=EPS)
        self.up = Linear(d, f, axes=("embed", "mlp"), **options)
        self.down = Linear(f, d, axes=("mlp", "embed"), **options)
        self.heads = config.heads

    def __call__(
        self, x: Float[Array, "b l d"], mesh_plan: MeshPlan
    ) -> Float[Array, "b l d"]:
        """Transform the states of one layer."""
        qkv = self.qkv(self.norm_1(x), mesh_plan)
        q, k, v = (split_heads(y, self.heads) for y in jnp.unstack(qkv, axis=2))
        everything = jnp.ones((*x.shape[:2], x.shape[1]), bool)
        x = x + self.out(merge_heads(attend(q, k, v, everything)), mesh_plan)
        y = exact_gelu(self.up(self.norm_2(x), mesh_plan))
        return x + self.down(y, mesh_plan)


class PictureEncoder(nnx.Module):
    """Pictures to states, one for each patch behind that of the class token."""

    def __init__(self, config: PictureConfig, *, rngs: nnx.Rngs):
        d = config.width
        self.config = config
        self.embed = Linear(
            3 * config.patch**2,
            d,
            axes=(None, "embed"),
            rngs=rngs,
            dtype=compute_dtype(config.dtype),
            use_bias=False,
            optimizer_group="outer",
        )
        token = jax.random.normal(rngs.params(), (d,)) * d**-0.5
        self.class_token = nnx.Param(token, axes=("embed",))
        positions = jax.random.normal(rngs.params(), (config.states, d)) * d**-0.5
        self.positions = nnx.Param(positions, axes=(None, "embed"))
        self.norm_in = LayerNorm(d, axis="embed", eps=EPS)
        keys = jax.random.split(rngs.params(), config.depth)
        self.layers = jax.vmap(lambda k: PictureLayer(config, rngs=nnx.Rngs(k)))(keys)
        # Stored with the others, and not used: the states are those of an inner layer.
        self.norm_out = LayerNorm(d, axis="embed", eps=EPS)

    def __call__(
        self, pictures: Float[Array, "b h w 3"], mesh_plan: MeshPlan = SINGLE_DEVICE
    ) -> Float[Array, "b l d"]:
        """Encode normalised pictures."""
        side = self.config.patch
        cut = jax.vmap(lambda picture: patchify(picture[None], (1, side, side)))
        x = wide(self.embed(cut(pictures), mesh_plan))
        first = jnp.broadcast_to(self.class_token[...], (len(x), 1, x.shape[-1]))
        x = jnp.concatenate([first.astype(x.dtype), x], axis=1)
        x = self.norm_in(x + self.positions[...][None])
        x = mesh_plan.constrain(x, "batch", None, None)

        def body(states: tuple[Array, Array], layer: PictureLayer) -> tuple:
            last = layer(states[0], mesh_plan).astype(wide_dtype(x.dtype))
            return (mesh_plan.constrain(last, "batch", None, None), states[0]), None

        # The layers are one stack, so that the last one runs too.
        (_, before_last), _ = jax.lax.scan(body, (x, x), self.layers)
        return before_last

    def encode(
        self,
        inputs: Float[Array, "b s p h w 3"],
        mesh_plan: MeshPlan = SINGLE_DEVICE,
    ) -> tuple[Float[Array, "b m d"], Int[Array, "b m"]]:
        """Encode the pictures of rows; see `contexts.ContextEncoder`.

        Args:
          inputs: pictures, p of which are read together.
          mesh_plan: how devices share the arrays.

        Returns:
          States, and the segment of each: groups of pictures count from 1, and
          m = s * p * states.
        """
        b, groups = inputs.shape[:2]
        flat = inputs.reshape(math.prod(inputs.shape[:3]), *inputs.shape[3:])
        states = self(flat, mesh_plan)
        return encoded_before(states.reshape(b, groups, -1, states.shape[-1]))

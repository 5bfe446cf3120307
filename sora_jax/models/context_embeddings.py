"""Maps from the states of a context to the width of the transformer."""

from __future__ import annotations

import jax
from flax import nnx
from jaxtyping import Array, Float

from sora_jax.config import DiTConfig
from sora_jax.models.dit_layers import Mlp
from sora_jax.nn import layers
from sora_jax.nn.layers import LayerNorm, Linear
from sora_jax.nn.precision import compute_dtype
from sora_jax.sharding import SINGLE_DEVICE, MeshPlan
from sora_jax.types import PICTURE

EPS = 1e-5


class PictureEmbedding(nnx.Module):
    """Two linear maps between norms, as Wan's image-to-video embeds pictures.

    Where it has positions, they tell the pictures of a group apart.
    """

    def __init__(self, features: int, config: DiTConfig, *, rngs: nnx.Rngs):
        d, dtype = config.width, compute_dtype(config.dtype)
        options = {"rngs": rngs, "dtype": dtype, "init": layers.normal(0.02)}
        count = config.picture_positions
        self.positions = (
            nnx.Param(
                0.02 * jax.random.normal(rngs.params(), (count, features)),
                axes=(None, None),
            )
            if count
            else None
        )
        self.norm_in = LayerNorm(features, eps=EPS)
        self.up = Linear(features, features, axes=(None, "embed"), **options)
        self.down = Linear(features, d, axes=("embed", None), **options)
        self.norm_out = LayerNorm(d, axis="embed", eps=EPS)

    def __call__(
        self, x: Float[Array, "b l c"], mesh_plan: MeshPlan = SINGLE_DEVICE
    ) -> Float[Array, "b l d"]:
        """Embed."""
        if self.positions is not None:
            positions = self.positions[...][None, None]
            groups = x.reshape(len(x), -1, *positions.shape[2:])
            x = (groups + positions.astype(x.dtype)).reshape(x.shape)
        y = self.up(self.norm_in(x), mesh_plan)
        y = self.down(jax.nn.gelu(y, approximate=False), mesh_plan)
        return self.norm_out(y)


def embedding_of(
    name: str, features: int, config: DiTConfig, rngs: nnx.Rngs
) -> nnx.Module:
    """Build the embedding of a context by its name."""
    if name == PICTURE:
        return PictureEmbedding(features, config, rngs=rngs)
    dtype = compute_dtype(config.dtype)
    return Mlp(features, config.width, layers.gelu, rngs=rngs, dtype=dtype)

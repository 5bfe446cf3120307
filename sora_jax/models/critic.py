"""The VAE's critic: a patch discriminator over space and time.

Strided 3-D convolutions after Isola et al. (2017), judged per patch; each score sees
a few frames and a few dozen pixels around it.
"""

from __future__ import annotations

import jax
from flax import nnx
from jaxtyping import Array, Float

from sora_jax.nn.conv import CausalConv, FrameConv, Stream
from sora_jax.nn.layers import RMSNorm
from sora_jax.nn.precision import wide


class Critic(nnx.Module):
    """Scores of how real a clip looks, one for each patch."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        widths = [width, 2 * width, 4 * width]
        self.conv_in = FrameConv(3, width, stride=2, rngs=rngs, optimizer_group="outer")
        self.down = nnx.List(
            [
                FrameConv(a, b, stride=2, rngs=rngs)
                for a, b in zip(widths[:-1], widths[1:], strict=True)
            ]
        )
        self.mix = nnx.List([CausalConv(b, b, rngs=rngs) for b in widths[1:]])
        self.norms = nnx.List([RMSNorm(b) for b in widths[1:]])
        self.conv_out = CausalConv(widths[-1], 1, rngs=rngs)

    def __call__(
        self, pixels: Float[Array, "b t h w 3"]
    ) -> Float[Array, "b t h2 w2 1"]:
        """Score the patches of clips in [-1, 1]."""
        stream = Stream("zeros")
        x = jax.nn.leaky_relu(self.conv_in(pixels), 0.2)
        for down, mix, norm in zip(self.down, self.mix, self.norms, strict=True):
            x = jax.nn.leaky_relu(norm(mix(down(x), stream)), 0.2)
        return wide(self.conv_out(x, stream))

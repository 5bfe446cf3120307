"""The parts of the video VAE at one resolution: residuals, attention, head."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sora_jax.nn.conv import CausalConv, Stream
from sora_jax.nn.layers import Linear, RMSNorm, zeros

NORM_EPS = 1e-12


class Residual(nnx.Module):
    """Two causal convolutions around a (projected) identity."""

    def __init__(self, width_in: int, width: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        self.norm_1 = RMSNorm(width_in, eps=NORM_EPS)
        self.conv_1 = CausalConv(width_in, width, rngs=rngs, dtype=dtype)
        self.norm_2 = RMSNorm(width, eps=NORM_EPS)
        self.conv_2 = CausalConv(width, width, rngs=rngs, dtype=dtype)
        self.project = (
            None
            if width_in == width
            else Linear(width_in, width, axes=(None, None), rngs=rngs, dtype=dtype)
        )

    def __call__(
        self, x: Float[Array, "b t h w c"], stream: Stream
    ) -> Float[Array, "b t h w f"]:
        """Transform at one resolution."""
        y = self.conv_1(jax.nn.silu(self.norm_1(x)), stream)
        y = self.conv_2(jax.nn.silu(self.norm_2(y)), stream)
        return y + (x if self.project is None else self.project(x))


class FrameAttention(nnx.Module):
    """Single-head self-attention within each frame."""

    def __init__(self, width: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        axes = (None, None)
        self.norm = RMSNorm(width, eps=NORM_EPS)
        self.qkv = Linear(width, 3 * width, axes=axes, rngs=rngs, dtype=dtype)
        self.out = Linear(width, width, axes=axes, rngs=rngs, dtype=dtype, init=zeros)

    def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t h w c"]:
        """Mix the pixels of each frame."""
        b, t, h, w, c = x.shape
        qkv = self.qkv(self.norm(x)).reshape(b * t, h * w, 1, 3 * c)
        q, k, v = jnp.split(qkv, 3, axis=-1)
        attended = jax.nn.dot_product_attention(q, k, v)
        return x + self.out(attended.reshape(x.shape))


class Middle(nnx.Module):
    """Residual, attention, residual at the lowest resolution."""

    def __init__(self, width: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        self.before = Residual(width, width, rngs=rngs, dtype=dtype)
        self.attention = FrameAttention(width, rngs=rngs, dtype=dtype)
        self.after = Residual(width, width, rngs=rngs, dtype=dtype)

    def __call__(
        self, x: Float[Array, "b t h w c"], stream: Stream
    ) -> Float[Array, "b t h w c"]:
        """Transform at the lowest resolution."""
        return self.after(self.attention(self.before(x, stream)), stream)


class Head(nnx.Module):
    """Norm, activation and the last convolution."""

    def __init__(self, width: int, features: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        self.norm = RMSNorm(width, eps=NORM_EPS)
        self.conv = CausalConv(
            width, features, rngs=rngs, dtype=dtype, optimizer_group="outer"
        )

    def __call__(
        self, x: Float[Array, "b t h w c"], stream: Stream
    ) -> Float[Array, "b t h w f"]:
        """Project to the features asked for."""
        return self.conv(jax.nn.silu(self.norm(x)), stream)

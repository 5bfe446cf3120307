"""Causal 3-D convolution, on a stream of chunks, and convolution of single frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sora_jax.nn.conv_frames import convolve_frames
from sora_jax.nn.layers import lecun, rank
from sora_jax.nn.parameters import OptimizerGroup, is_float32
from sora_jax.nn.stream import Stream
from sora_jax.sharding import SINGLE_DEVICE, MeshPlan

Implementation = Literal["volume", "frames"]


def convolve(
    x: Float[Array, "b t h w c"],
    kernel: Float[Array, "a i j c f"],
    *,
    strides: tuple[int, int, int] = (1, 1, 1),
    padding: Sequence[tuple[int, int]],
    implementation: Implementation,
) -> Float[Array, "b t2 h2 w2 f"]:
    """Convolve in time (no padding) and space.

    "volume" is XLA's own 3-D convolution, "frames" a sum of 2-D ones (`conv_frames`).
    """
    if implementation == "frames":
        return convolve_frames(x, kernel, strides, tuple(padding))
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        strides,
        ((0, 0), *padding),
        dimension_numbers=("NTHWC", "THWIO", "NTHWC"),
    )


def fastest(mesh_plan: MeshPlan) -> Implementation:
    """The faster implementation on a plan's platform."""
    return "frames" if mesh_plan.platform == "cpu" else "volume"


class CausalConv(nnx.Module):
    """3-D convolution whose output at a frame depends on no later frame."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: tuple[int, int, int] = (3, 3, 3),
        *,
        rngs: nnx.Rngs,
        dtype: DTypeLike = jnp.float32,
        optimizer_group: OptimizerGroup = "hidden_filters",
    ):
        shape = (*kernel, channels_in, channels_out)
        axes = (None, None, None, None, "channels")
        exact = is_float32(dtype)
        self.filters = nnx.Param(
            lecun(rngs.params(), shape),
            axes=axes,
            optimizer_group=optimizer_group,
            keep_float32=exact,
        )
        self.bias = nnx.Param(
            jnp.zeros(channels_out), axes=("channels",), keep_float32=exact
        )
        self.dtype = dtype

    def __call__(
        self, x: Float[Array, "b t h w c"], stream: Stream
    ) -> Float[Array, "b t h w f"]:
        """Convolve the chunk behind the past frames of its stream."""
        past = self.filters.shape[0] - 1
        return self.valid(stream.prepend(x, past) if past else x, stream.mesh_plan)

    def valid(
        self,
        x: Float[Array, "b t h w c"],
        mesh_plan: MeshPlan = SINGLE_DEVICE,
        *,
        time_stride: int = 1,
    ) -> Float[Array, "b t2 h w f"]:
        """Convolve without padding in time, for callers that prepended the past."""
        kernel = self.filters[...].astype(self.dtype)
        pad = [(size // 2, size // 2) for size in kernel.shape[1:3]]
        y = convolve(
            x.astype(self.dtype),
            kernel,
            strides=(time_stride, 1, 1),
            padding=pad,
            implementation=fastest(mesh_plan),
        )
        return y + rank(self.bias[...].astype(self.dtype), 5)


class FrameConv(nnx.Module):
    """3x3 convolution of each frame; `stride` 2 pads at the right and bottom only."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        stride: int = 1,
        rngs: nnx.Rngs,
        dtype: DTypeLike = jnp.float32,
        optimizer_group: OptimizerGroup = "hidden_filters",
    ):
        axes = (None, None, None, "channels")
        shape = (3, 3, channels_in, channels_out)
        exact = is_float32(dtype)
        self.filters = nnx.Param(
            lecun(rngs.params(), shape),
            axes=axes,
            optimizer_group=optimizer_group,
            keep_float32=exact,
        )
        self.bias = nnx.Param(
            jnp.zeros(channels_out), axes=("channels",), keep_float32=exact
        )
        self.stride = stride
        self.dtype = dtype

    def __call__(
        self, x: Float[Array, "b t h w c"], mesh_plan: MeshPlan = SINGLE_DEVICE
    ) -> Float[Array, "b t h2 w2 f"]:
        """Convolve each frame."""
        pad = ((1, 1), (1, 1)) if self.stride == 1 else ((0, 1), (0, 1))
        y = convolve(
            x.astype(self.dtype),
            self.filters[...].astype(self.dtype)[None],
            strides=(1, self.stride, self.stride),
            padding=pad,
            implementation=fastest(mesh_plan),
        )
        return y + rank(self.bias[...].astype(self.dtype), 5)

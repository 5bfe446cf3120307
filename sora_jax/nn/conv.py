"""Causal 3-D convolution and the stream that carries its past between chunks.

A clip can be processed whole or in chunks with equal results: each layer that looks
back in time asks its `Stream` for the frames before the chunk and leaves its own last
frames there. The stream lives only while a function is traced; the cache that enters
and leaves the function is a plain tuple of arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sora_jax.nn.layers import Initializer, lecun, rank

Cache = tuple[Array, ...]
Implementation = Literal["auto", "volume", "frames"]


class Stream:
    """The frames each causal layer carries over, in the order of the forward pass."""

    def __init__(self, cache: Cache | None = None):
        self.opening = cache is None
        self._past = iter(cache or ())
        self._carried: list[Array] = []

    def prepend(
        self, x: Float[Array, "b t h w c"], frames: int, *, pad: bool = True
    ) -> Float[Array, "b t2 h w c"]:
        """Put the last `frames` frames of the past before `x` and carry on its end.

        At the opening the past is zeros, or with `pad=False` nothing at all.
        """
        if not self.opening:
            x = jnp.concatenate([next(self._past).astype(x.dtype), x], axis=1)
        elif pad:
            x = jnp.pad(x, ((0, 0), (frames, 0), (0, 0), (0, 0), (0, 0)))
        self._carried.append(x[:, x.shape[1] - frames :])
        return x

    @property
    def cache(self) -> Cache:
        """What the next chunk needs."""
        return tuple(self._carried)


def convolve_frames(
    x: Float[Array, "b t h w c"],
    kernel: Float[Array, "i j c f"],
    *,
    strides: Sequence[int] = (1, 1),
    padding: Sequence[tuple[int, int]],
) -> Float[Array, "b t h2 w2 f"]:
    """Convolve each frame in space."""
    frames = x.reshape(-1, *x.shape[2:])
    y = jax.lax.conv_general_dilated(
        frames, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return y.reshape(*x.shape[:2], *y.shape[1:])


def convolve_volume(
    x: Float[Array, "b t h w c"],
    kernel: Float[Array, "a i j c f"],
    *,
    time_stride: int = 1,
    padding: Sequence[tuple[int, int]],
    implementation: Implementation = "auto",
) -> Float[Array, "b t2 h w f"]:
    """Convolve in time (no padding) and space.

    "frames" sums one convolution in space per tap in time, which XLA:CPU runs four
    times faster than its 3-D convolution; "volume" is the latter.
    """
    if implementation == "auto":
        implementation = "frames" if jax.default_backend() == "cpu" else "volume"
    if implementation == "volume":
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            (time_stride, 1, 1),
            ((0, 0), *padding),
            dimension_numbers=("NTHWC", "THWIO", "NTHWC"),
        )
    taps = kernel.shape[0]
    frames_out = (x.shape[1] - taps) // time_stride + 1
    stop = (frames_out - 1) * time_stride + 1
    y = convolve_frames(x[:, :stop:time_stride], kernel[0], padding=padding)
    for a in range(1, taps):
        frames = x[:, a : a + stop : time_stride]
        y += convolve_frames(frames, kernel[a], padding=padding)
    return y


class CausalConv(nnx.Module):
    """3-D convolution whose output at a frame depends on no later frame."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: tuple[int, int, int] = (3, 3, 3),
        *,
        rngs: nnx.Rngs,
        init: Initializer = lecun,
        dtype: DTypeLike = jnp.float32,
    ):
        shape = (*kernel, channels_in, channels_out)
        axes = (None, None, None, None, "channels")
        self.filters = nnx.Param(init(rngs.params(), shape), axes=axes)
        self.bias = nnx.Param(jnp.zeros(channels_out), axes=("channels",))
        self.dtype = dtype

    def __call__(
        self, x: Float[Array, "b t h w c"], stream: Stream
    ) -> Float[Array, "b t h w f"]:
        """Convolve with what the stream remembers before the chunk."""
        past = self.filters.shape[0] - 1
        return self.valid(stream.prepend(x, past) if past else x)

    def valid(
        self, x: Float[Array, "b t h w c"], *, time_stride: int = 1
    ) -> Float[Array, "b t2 h w f"]:
        """Convolve without padding in time, for callers that bring their own past."""
        kernel = self.filters[...].astype(self.dtype)
        pad = [(size // 2, size // 2) for size in kernel.shape[1:3]]
        y = convolve_volume(
            x.astype(self.dtype), kernel, time_stride=time_stride, padding=pad
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
    ):
        axes = (None, None, None, "channels")
        shape = (3, 3, channels_in, channels_out)
        self.filters = nnx.Param(lecun(rngs.params(), shape), axes=axes)
        self.bias = nnx.Param(jnp.zeros(channels_out), axes=("channels",))
        self.stride = stride
        self.dtype = dtype

    def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t h2 w2 f"]:
        """Convolve each frame."""
        pad = ((1, 1), (1, 1)) if self.stride == 1 else ((0, 1), (0, 1))
        y = convolve_frames(
            x.astype(self.dtype),
            self.filters[...].astype(self.dtype),
            strides=(self.stride, self.stride),
            padding=pad,
        )
        return y + rank(self.bias[...].astype(self.dtype), 5)

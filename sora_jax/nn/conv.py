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

from sora_jax import sharding
from sora_jax.nn import winograd
from sora_jax.nn.layers import lecun, rank
from sora_jax.nn.parameters import OptimizerGroup, is_float32

Cache = tuple[Array, ...]
Implementation = Literal["auto", "volume", "frames"]
TemporalPadding = Literal["first", "zeros"]


class Stream:
    """The frames each causal layer carries over, in the order of the forward pass.

    What comes before the opening is zeros or the first frame over and over: then a
    still clip has the same features at every time.
    """

    def __init__(self, temporal_padding: TemporalPadding, cache: Cache | None = None):
        self.temporal_padding: TemporalPadding = temporal_padding
        self.opening = cache is None
        self._past = iter(cache or ())
        self._carried: list[Array] = []

    def prepend(
        self, x: Float[Array, "b t h w c"], frames: int
    ) -> Float[Array, "b t2 h w c"]:
        """Put the last `frames` frames of the past before `x` and carry on its end."""
        if self.opening:
            mode = "edge" if self.temporal_padding == "first" else "constant"
            before = ((0, 0), (frames, 0), (0, 0), (0, 0), (0, 0))
            return self.carry(jnp.pad(x, before, mode=mode), frames)
        return self.resume(x, frames)

    def resume(
        self, x: Float[Array, "b t h w c"], frames: int
    ) -> Float[Array, "b t2 h w c"]:
        """Do as `prepend`, but put nothing before an opening."""
        if not self.opening:
            x = jnp.concatenate([next(self._past).astype(x.dtype), x], axis=1)
        return self.carry(x, frames)

    def carry(self, x: Float[Array, "b t h w c"], frames: int) -> Array:
        """Leave the last `frames` frames to the next chunk; return all."""
        self._carried.append(x[:, x.shape[1] - frames :])
        return x

    @property
    def cache(self) -> Cache:
        """What the next chunk needs."""
        return tuple(self._carried)


def convolve(
    x: Float[Array, "b t h w c"],
    kernel: Float[Array, "a i j c f"],
    *,
    strides: tuple[int, int, int] = (1, 1, 1),
    padding: Sequence[tuple[int, int]],
    implementation: Implementation = "auto",
) -> Float[Array, "b t2 h2 w2 f"]:
    """Convolve in time (no padding) and space.

    "volume" is XLA's own 3-D convolution. "frames" is several times faster on XLA:CPU:
    one convolution in space per tap in time (or, where layers are wide, Winograd's
    with fewer products), and a gradient by the filters that is one matrix product.
    """
    if implementation == "auto":
        implementation = "frames" if sharding.platform() == "cpu" else "volume"
    if implementation == "frames":
        return _by_frames(x, kernel, strides, tuple(padding))
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        strides,
        ((0, 0), *padding),
        dimension_numbers=("NTHWC", "THWIO", "NTHWC"),
    )


def _sum_of_taps(x: Array, kernel: Array, strides: tuple, padding: tuple) -> Array:
    frames = (x.shape[1] - kernel.shape[0]) // strides[0] + 1
    stop = (frames - 1) * strides[0] + 1

    def tap(a: int) -> Array:
        taken = x[:, a : a + stop : strides[0]]
        y = jax.lax.conv_general_dilated(
            taken.reshape(-1, *x.shape[2:]),
            kernel[a],
            strides[1:],
            padding,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return y.reshape(*taken.shape[:2], *y.shape[1:])

    y = tap(0)
    for a in range(1, kernel.shape[0]):
        y += tap(a)
    return y


def _fastest(x: Array, kernel: Array, strides: tuple, padding: tuple) -> Array:
    exact = x.dtype == kernel.dtype == jnp.float32
    if exact and winograd.suits(x.shape, kernel.shape, strides, padding):
        return winograd.convolve(x, kernel)
    return _sum_of_taps(x, kernel, strides, padding)


_by_frames = jax.custom_vjp(_fastest, nondiff_argnums=(2, 3))


def _by_frames_forward(
    x: Array, kernel: Array, strides: tuple, padding: tuple
) -> tuple[Array, tuple[Array, Array]]:
    return _fastest(x, kernel, strides, padding), (x, kernel)


def _by_frames_backward(
    strides: tuple, padding: tuple, saved: tuple[Array, Array], dy: Array
) -> tuple[Array, Array]:
    """One product of all taps in time (of dy) and all taps in space (of x)."""
    x, kernel = saved
    _, pull = jax.vjp(lambda x: _sum_of_taps(x, kernel, strides, padding), x)
    taps, rows, columns, _, features = kernel.shape
    step_t, step_h, step_w = strides
    stop_h, stop_w = (dy.shape[2] - 1) * step_h + 1, (dy.shape[3] - 1) * step_w + 1

    padded = jnp.pad(x, ((0, 0), (0, 0), *padding, (0, 0)))
    patches = [
        padded[:, :, i : i + stop_h : step_h, j : j + stop_w : step_w]
        for i in range(rows)
        for j in range(columns)
    ]
    # Tap a of output frame s looks at frame a + s step_t: put dy there, zeros between.
    spare = x.shape[1] - (dy.shape[1] - 1) * step_t - 1
    whole, zero = [(0, 0, 0)] * 3, jnp.zeros((), dy.dtype)
    spread = [
        jax.lax.pad(dy, zero, ((0, 0, 0), (a, spare - a, step_t - 1), *whole))
        for a in range(taps)
    ]
    left = jnp.concatenate(spread, axis=-1).reshape(-1, taps * features)
    right = jnp.concatenate(patches, axis=-1).reshape(left.shape[0], -1)
    product = (left.T @ right).reshape(taps, features, rows, columns, -1)
    return pull(dy)[0], product.transpose(0, 2, 3, 4, 1)


_by_frames.defvjp(_by_frames_forward, _by_frames_backward)


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
        """Convolve with what the stream remembers before the chunk."""
        past = self.filters.shape[0] - 1
        return self.valid(stream.prepend(x, past) if past else x)

    def valid(
        self, x: Float[Array, "b t h w c"], *, time_stride: int = 1
    ) -> Float[Array, "b t2 h w f"]:
        """Convolve without padding in time, for callers that bring their own past."""
        kernel = self.filters[...].astype(self.dtype)
        pad = [(size // 2, size // 2) for size in kernel.shape[1:3]]
        y = convolve(
            x.astype(self.dtype), kernel, strides=(time_stride, 1, 1), padding=pad
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

    def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t h2 w2 f"]:
        """Convolve each frame."""
        pad = ((1, 1), (1, 1)) if self.stride == 1 else ((0, 1), (0, 1))
        y = convolve(
            x.astype(self.dtype),
            self.filters[...].astype(self.dtype)[None],
            strides=(1, self.stride, self.stride),
            padding=pad,
        )
        return y + rank(self.bias[...].astype(self.dtype), 5)

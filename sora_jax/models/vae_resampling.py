"""Down- and upsampling of the video VAE, in space and in time, on a stream."""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sora_jax.nn.conv import CausalConv, FrameConv
from sora_jax.nn.stream import Stream


class Downsample(nnx.Module):
    """Halve space, and time when asked; a clip's first frame stays one frame.

    With the first frame repeated as padding, that frame is convolved like any other,
    and a still clip shrinks to equal frames; with zeros it skips the convolution in
    time, as in Wan.
    """

    def __init__(self, width: int, time: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        self.space = FrameConv(width, width, stride=2, rngs=rngs, dtype=dtype)
        self.time = (
            CausalConv(width, width, (3, 1, 1), rngs=rngs, dtype=dtype)
            if time == 2
            else None
        )

    def __call__(
        self, x: Float[Array, "b t h w c"], stream: Stream
    ) -> Float[Array, "b t2 h2 w2 c"]:
        """Downsample."""
        x = self.space(x, stream.mesh_plan)
        if self.time is None:
            return x
        first = x[:, :1]
        halve = partial(self.time.valid, mesh_plan=stream.mesh_plan, time_stride=2)
        x = stream.resume(x, 1)
        if not stream.opening:
            return halve(x)
        if stream.temporal_padding == "first":
            return halve(jnp.concatenate([first, first, x], axis=1))
        if x.shape[1] < 3:
            return first
        return jnp.concatenate([first, halve(x)], axis=1)


class Upsample(nnx.Module):
    """Double time when asked, then space; a clip's first frame stays one frame.

    It skips the convolution in time where `Downsample` skips it.
    """

    def __init__(
        self, width: int, width_out: int, time: int, *, rngs: nnx.Rngs, dtype: DTypeLike
    ):
        self.time = (
            CausalConv(width, 2 * width, (3, 1, 1), rngs=rngs, dtype=dtype)
            if time == 2
            else None
        )
        if self.time is not None:
            tie_halves(self.time)
        self.space = FrameConv(width, width_out, rngs=rngs, dtype=dtype)

    def __call__(
        self, x: Float[Array, "b t h w c"], stream: Stream
    ) -> Float[Array, "b t2 h2 w2 f"]:
        """Grow by the factors."""
        if self.time is not None:
            x = double_time(self.time, x, stream)
        return self.space(upsample_nearest(x), stream.mesh_plan)


def tie_halves(conv: CausalConv) -> None:
    """Set the first frame of every pair to be made as the second one is.

    A network that starts so decodes a still clip to equal frames.
    """
    for parameter in (conv.filters, conv.bias):
        second = jnp.split(parameter[...], 2, axis=-1)[1]
        parameter.set_value(jnp.concatenate([second, second], axis=-1))


def inflate(network: nnx.Module) -> None:
    """Prepare a network that was trained on images for training on clips.

    An image is the second frame of its pair, so that the first frames' halves were
    never trained; they become those of the second frames.
    """
    for _, module in nnx.iter_modules(network):
        if isinstance(module, Upsample) and module.time is not None:
            tie_halves(module.time)


def double_time(
    conv: CausalConv, x: Float[Array, "b t h w c"], stream: Stream
) -> Float[Array, "b t2 h w c"]:
    """Double time by a convolution to twice the channels, but for a first frame."""
    if stream.temporal_padding == "first":
        y = interleave(conv.valid(stream.prepend(x, 2), stream.mesh_plan))
        return y[:, 1:] if stream.opening else y
    single = 1 if stream.opening else 0
    first, later = x[:, :single], x[:, single:]
    window = stream.prepend(later, 2)
    if later.shape[1]:
        later = interleave(conv.valid(window, stream.mesh_plan))
    return jnp.concatenate([first, later], axis=1)


def interleave(x: Float[Array, "b t h w c"]) -> Float[Array, "b t2 h w c2"]:
    """Turn two halves of the channels into alternating frames."""
    b, t, h, w, c = x.shape
    x = x.reshape(b, t, h, w, 2, c // 2).transpose(0, 1, 4, 2, 3, 5)
    return x.reshape(b, 2 * t, h, w, c // 2)


def upsample_nearest(x: Float[Array, "b t h w c"]) -> Float[Array, "b t h2 w2 c"]:
    """Double height and width by repetition."""
    b, t, h, w, c = x.shape
    x = jnp.broadcast_to(x[:, :, :, None, :, None], (b, t, h, 2, w, 2, c))
    return x.reshape(b, t, 2 * h, 2 * w, c)

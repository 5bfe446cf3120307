"""The resampling stages of the video VAE, on a stream.

Two families share them. Without shortcuts (Wan 2.1) the upsampling convolution halves
the channels; with shortcuts (Wan 2.2) it keeps them, and each stage adds a
parameter-free path: pixels folded into channels on the way down and repeated on the
way up.
"""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sora_jax.config import VAEConfig
from sora_jax.models.vae_layers import Residual
from sora_jax.nn.conv import CausalConv, FrameConv, Stream, TemporalPadding
from sora_jax.nn.precision import compute_dtype


class Downsample(nnx.Module):
    """Halve space, and time when asked; a stream's first frame makes one by itself.

    Where the past is the first frame over and over, that frame is convolved with it
    like any other, and a still clip shrinks to equal frames; else it skips the
    convolution in time, as in Wan.
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
        """Shrink by the factors."""
        x = self.space(x)
        if self.time is None:
            return x
        alone, opens = x[:, :1], stream.opening
        x = stream.resume(x, 1)
        if not opens:
            return self.time.valid(x, time_stride=2)
        if stream.temporal_padding == "first":
            x = jnp.concatenate([alone, alone, x], axis=1)
            return self.time.valid(x, time_stride=2)
        if x.shape[1] < 3:
            return alone
        return jnp.concatenate([alone, self.time.valid(x, time_stride=2)], axis=1)


class Upsample(nnx.Module):
    """Double time when asked, then space; a stream's first frame makes one only.

    It skips the convolution in time where `Downsample` does.
    """

    def __init__(
        self, width: int, width_out: int, time: int, *, rngs: nnx.Rngs, dtype: DTypeLike
    ):
        self.time = (
            CausalConv(width, 2 * width, (3, 1, 1), rngs=rngs, dtype=dtype)
            if time == 2
            else None
        )
        self.space = FrameConv(width, width_out, rngs=rngs, dtype=dtype)

    def __call__(
        self, x: Float[Array, "b t h w c"], stream: Stream
    ) -> Float[Array, "b t2 h2 w2 f"]:
        """Grow by the factors."""
        if self.time is not None:
            x = double(self.time, x, stream)
        return self.space(nearest(x))


class DownStage(nnx.Module):
    """Residual blocks, then downsampling by (time, space) factors."""

    def __init__(
        self,
        width_in: int,
        width: int,
        config: VAEConfig,
        factor: tuple[int, int],
        *,
        rngs: nnx.Rngs,
    ):
        dtype = compute_dtype(config.dtype)
        self.blocks = nnx.List(
            [
                Residual(width_in if i == 0 else width, width, rngs=rngs, dtype=dtype)
                for i in range(config.blocks)
            ]
        )
        time, space = factor
        self.down = (
            Downsample(width, time, rngs=rngs, dtype=dtype) if space == 2 else None
        )
        # Without downsampling the shortcut is the identity, so widths must agree.
        self.shortcut = config.shortcuts and (space == 2 or width_in == width)
        self.factor, self.width = factor, width

    def __call__(
        self, x: Float[Array, "b t h w c"], stream: Stream
    ) -> Float[Array, "b t2 h2 w2 f"]:
        """Transform, then shrink."""
        skip = (
            fold_mean(x, self.width, *self.factor, stream.temporal_padding)
            if self.shortcut
            else None
        )
        for block in self.blocks:
            x = block(x, stream)
        if self.down is not None:
            x = self.down(x, stream)
        return x if skip is None else x + skip


class UpStage(nnx.Module):
    """Residual blocks, then upsampling by (time, space) factors."""

    def __init__(
        self,
        width_in: int,
        width: int,
        config: VAEConfig,
        factor: tuple[int, int],
        *,
        rngs: nnx.Rngs,
    ):
        dtype = compute_dtype(config.dtype)
        self.blocks = nnx.List(
            [
                Residual(width_in if i == 0 else width, width, rngs=rngs, dtype=dtype)
                for i in range(config.blocks + 1)
            ]
        )
        time, space = factor
        is_last = space == 1
        self.width_out = width if is_last or config.shortcuts else width // 2
        self.up = (
            None
            if is_last
            else Upsample(width, self.width_out, time, rngs=rngs, dtype=dtype)
        )
        self.factor, self.shortcut = factor, config.shortcuts and not is_last

    def __call__(
        self, x: Float[Array, "b t h w c"], stream: Stream
    ) -> Float[Array, "b t2 h2 w2 f"]:
        """Transform, then grow."""
        skip = x
        for block in self.blocks:
            x = block(x, stream)
        if self.up is not None:
            x = self.up(x, stream)
        if not self.shortcut:
            return x
        return x + unfold_repeat(skip, self.width_out, *self.factor, stream.opening)


def double(
    conv: CausalConv, x: Float[Array, "b t h w c"], stream: Stream
) -> Float[Array, "b t2 h w c"]:
    """Double time by a convolution to twice the channels; a first frame makes one."""
    if stream.temporal_padding == "first":
        y = interleave(conv.valid(stream.prepend(x, 2)))
        return y[:, 1:] if stream.opening else y
    alone = 1 if stream.opening else 0
    first, rest = x[:, :alone], x[:, alone:]
    window = stream.prepend(rest, 2)
    if rest.shape[1]:
        rest = interleave(conv.valid(window))
    return jnp.concatenate([first, rest], axis=1)


def interleave(x: Float[Array, "b t h w c"]) -> Float[Array, "b t2 h w c2"]:
    """Turn two halves of the channels into alternating frames."""
    b, t, h, w, c = x.shape
    x = x.reshape(b, t, h, w, 2, c // 2).transpose(0, 1, 4, 2, 3, 5)
    return x.reshape(b, 2 * t, h, w, c // 2)


def nearest(x: Float[Array, "b t h w c"]) -> Float[Array, "b t h2 w2 c"]:
    """Double height and width by repetition."""
    b, t, h, w, c = x.shape
    x = jnp.broadcast_to(x[:, :, :, None, :, None], (b, t, h, 2, w, 2, c))
    return x.reshape(b, t, 2 * h, 2 * w, c)


def fold_mean(
    x: Float[Array, "b t h w c"],
    width: int,
    time: int,
    space: int,
    padding: TemporalPadding,
) -> Float[Array, "b t2 h2 w2 f"]:
    """Fold (time, space) blocks into channels and average groups down to `width`.

    An odd number of frames is padded in front, so the first frame stays alone.
    """
    before = ((0, 0), (-x.shape[1] % time, 0), (0, 0), (0, 0), (0, 0))
    x = jnp.pad(x, before, mode="edge" if padding == "first" else "constant")
    b, t, h, w, c = x.shape
    t, h, w = t // time, h // space, w // space
    x = x.reshape(b, t, time, h, space, w, space, c)
    # Channel order (c, time, row, column) as in the reference.
    x = x.transpose(0, 1, 3, 5, 7, 2, 4, 6)
    return x.reshape(b, t, h, w, width, -1).mean(axis=-1)


def unfold_repeat(
    x: Float[Array, "b t h w c"], width: int, time: int, space: int, opening: bool
) -> Float[Array, "b t2 h2 w2 f"]:
    """Repeat channels and unfold them into (time, space) blocks of `width` channels.

    At the opening of a stream the first frame yields one frame, not `time`.
    """
    b, t, h, w, c = x.shape
    repeats = width * time * space * space // c
    x = jnp.repeat(x, repeats, axis=-1)
    x = x.reshape(b, t, h, w, width, time, space, space)
    x = x.transpose(0, 1, 5, 2, 6, 3, 7, 4)
    x = x.reshape(b, t * time, h * space, w * space, width)
    return x[:, time - 1 :] if opening else x

"""The stages of the video VAE, one for each resolution, on a stream.

Two families share them. Without shortcuts (Wan 2.1) the upsampling convolution halves
the channels; with shortcuts (Wan 2.2) it keeps them, and each stage adds a
parameter-free path: pixels folded into channels on the way down and repeated on the
way up.
"""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from sora_jax.config import VAEConfig
from sora_jax.models.vae_layers import Residual
from sora_jax.models.vae_resampling import Downsample, Upsample
from sora_jax.nn.precision import compute_dtype
from sora_jax.nn.stream import Stream, TemporalPadding


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
            downsample_shortcut(x, self.width, *self.factor, stream.temporal_padding)
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
        self.time_shortcut = config.time_shortcut

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
        time, space = self.factor
        repeats = time if self.time_shortcut == "repeat" else 1
        skip = upsample_shortcut(skip, self.width_out, time // repeats, space)
        skip = jnp.repeat(skip, repeats, axis=1)
        return x + (skip[:, time - 1 :] if stream.opening else skip)


def downsample_shortcut(
    x: Float[Array, "b t h w c"],
    width: int,
    time: int,
    space: int,
    padding: TemporalPadding,
) -> Float[Array, "b t2 h2 w2 f"]:
    """Fold (time, space) blocks into channels and average groups down to `width`.

    Wan 2.2's AvgDown3D. An odd number of frames is padded in front, so that the first
    frame stays alone.
    """
    before = ((0, 0), (-x.shape[1] % time, 0), (0, 0), (0, 0), (0, 0))
    x = jnp.pad(x, before, mode="edge" if padding == "first" else "constant")
    b, t, h, w, c = x.shape
    t, h, w = t // time, h // space, w // space
    x = x.reshape(b, t, time, h, space, w, space, c)
    # Channel order (c, time, row, column) as in the reference.
    x = x.transpose(0, 1, 3, 5, 7, 2, 4, 6)
    return x.reshape(b, t, h, w, width, -1).mean(axis=-1)


def upsample_shortcut(
    x: Float[Array, "b t h w c"], width: int, time: int, space: int
) -> Float[Array, "b t2 h2 w2 f"]:
    """Repeat channels and unfold them into (time, space) blocks of `width` channels.

    Wan 2.2's DupUp3D, before it drops the first of a clip's frames.
    """
    b, t, h, w, c = x.shape
    repeats = width * time * space * space // c
    x = jnp.repeat(x, repeats, axis=-1)
    x = x.reshape(b, t, h, w, width, time, space, space)
    x = x.transpose(0, 1, 5, 2, 6, 3, 7, 4)
    return x.reshape(b, t * time, h * space, w * space, width)

"""The causal video VAE: pixels to latents and back, whole or as a stream.

pixels [b t h w 3] -> space-to-depth by `patch` -> encoder -> latents
[b 1+(t-1)/T h/S w/S z] -> decoder -> depth-to-space -> pixels. One description covers
Wan 2.1 (patch 1, no shortcuts), Wan 2.2 (patch 2, shortcuts) and our default.

Every function takes and returns the cache of `nn.conv.Stream`: without one the call
opens a stream with 1 + T k frames, with one it goes on with T m frames. A whole clip
is the opening alone. Source: Wan 2.1 report (arXiv 2503.20314, section 4.1) and code.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from sora_jax.config import VAEConfig
from sora_jax.models.vae_layers import Head, Middle
from sora_jax.models.vae_stages import DownStage, UpStage
from sora_jax.nn.conv import Cache, CausalConv, Stream
from sora_jax.nn.layers import rank
from sora_jax.nn.precision import compute_dtype, wide
from sora_jax.sharding import constrain


class Statistic(nnx.Variable):
    """A measured constant that belongs to the weights but is not trained."""


class Encoder(nnx.Module):
    """Patches of pixels to the moments of the latent distribution."""

    def __init__(self, config: VAEConfig, *, rngs: nnx.Rngs):
        dtype = compute_dtype(config.dtype)
        widths = [config.encoder_width * m for m in (1, *config.multipliers)]
        pixels = 3 * config.patch**2
        self.conv_in = CausalConv(
            pixels, widths[0], rngs=rngs, dtype=dtype, optimizer_group="outer"
        )
        factors = [*config.stages, (1, 1)]
        self.stages = nnx.List(
            [
                DownStage(widths[i], widths[i + 1], config, factors[i], rngs=rngs)
                for i in range(len(factors))
            ]
        )
        self.middle = Middle(widths[-1], rngs=rngs, dtype=dtype)
        self.head = Head(widths[-1], 2 * config.channels, rngs=rngs, dtype=dtype)
        self.moments = CausalConv(
            2 * config.channels,
            2 * config.channels,
            (1, 1, 1),
            rngs=rngs,
            dtype=dtype,
            optimizer_group="outer",
        )
        # The posterior starts narrow: noise as large as the signal would hide it.
        bias = self.moments.bias
        bias.set_value(bias[...].at[config.channels :].set(-6.0))

    def __call__(
        self, x: Float[Array, "b t h w c"], stream: Stream
    ) -> Float[Array, "b t2 h2 w2 z"]:
        """Return means and log-variances, side by side."""
        x = shared(self.conv_in(shared(x), stream))
        for stage in self.stages:
            x = shared(stage(x, stream))
        x = self.head(self.middle(x, stream), stream)
        return wide(self.moments(x, stream))


class Decoder(nnx.Module):
    """Latents to patches of pixels."""

    def __init__(self, config: VAEConfig, *, rngs: nnx.Rngs):
        dtype = compute_dtype(config.dtype)
        multipliers = config.multipliers[::-1]
        widths = [config.decoder_width * m for m in (multipliers[0], *multipliers)]
        z = config.channels
        self.latents = CausalConv(
            z, z, (1, 1, 1), rngs=rngs, dtype=dtype, optimizer_group="outer"
        )
        self.conv_in = CausalConv(
            z, widths[0], rngs=rngs, dtype=dtype, optimizer_group="outer"
        )
        self.middle = Middle(widths[0], rngs=rngs, dtype=dtype)
        factors = [*config.stages[::-1], (1, 1)]
        stages, width = [], widths[0]
        for features, factor in zip(widths[1:], factors, strict=True):
            stage = UpStage(width, features, config, factor, rngs=rngs)
            width = stage.width_out
            stages.append(stage)
        self.stages = nnx.List(stages)
        self.head = Head(width, 3 * config.patch**2, rngs=rngs, dtype=dtype)

    def __call__(
        self, z: Float[Array, "b t h w z"], stream: Stream
    ) -> Float[Array, "b t2 h2 w2 c"]:
        """Return patches of pixels."""
        x = self.conv_in(self.latents(shared(z), stream), stream)
        x = self.middle(x, stream)
        for stage in self.stages:
            x = shared(stage(x, stream))
        return wide(self.head(x, stream))


class VAE(nnx.Module):
    """A causal video autoencoder with normalised latents."""

    def __init__(self, config: VAEConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.encoder = Encoder(config, rngs=rngs)
        self.decoder = Decoder(config, rngs=rngs)
        self.latent_mean = Statistic(jnp.zeros(config.channels), axes=(None,))
        self.latent_std = Statistic(jnp.ones(config.channels), axes=(None,))

    def posterior(
        self, pixels: Float[Array, "b t h w 3"], cache: Cache | None = None
    ) -> tuple[Float[Array, "b t2 h2 w2 z"], Float[Array, "b t2 h2 w2 z"], Cache]:
        """Return mean and log-variance of the raw latents, and the cache."""
        stream = Stream(self.config.temporal_padding, cache)
        moments = self.encoder(space_to_depth(pixels, self.config.patch), stream)
        mean, log_variance = jnp.split(moments, 2, axis=-1)
        return mean, jnp.clip(log_variance, -30.0, 20.0), stream.cache

    def reconstruct(
        self, raw: Float[Array, "b t h w z"], cache: Cache | None = None
    ) -> tuple[Float[Array, "b t2 h2 w2 3"], Cache]:
        """Decode raw latents to unclipped pixels."""
        stream = Stream(self.config.temporal_padding, cache)
        pixels = depth_to_space(self.decoder(raw, stream), self.config.patch)
        return pixels, stream.cache

    def encode(
        self, pixels: Float[Array, "b t h w 3"], cache: Cache | None = None
    ) -> tuple[Float[Array, "b t2 h2 w2 z"], Cache]:
        """Encode pixels in [-1, 1] to normalised latents (the posterior's mean)."""
        mean, _, cache = self.posterior(pixels, cache)
        shift, scale = rank(self.latent_mean[...], 5), rank(self.latent_std[...], 5)
        return (mean - shift) / scale, cache

    def decode(
        self, latents: Float[Array, "b t h w z"], cache: Cache | None = None
    ) -> tuple[Float[Array, "b t2 h2 w2 3"], Cache]:
        """Decode normalised latents to pixels, clipped to [-1, 1]."""
        shift, scale = rank(self.latent_mean[...], 5), rank(self.latent_std[...], 5)
        pixels, cache = self.reconstruct(latents * scale + shift, cache)
        return jnp.clip(pixels, -1.0, 1.0), cache


def shared(x: Float[Array, "b t h w c"]) -> Float[Array, "b t h w c"]:
    """Let devices share frames; convolutions exchange the borders by themselves."""
    return constrain(x, "batch", None, "height", "width", None)


def space_to_depth(
    x: Float[Array, "b t h w c"], p: int
) -> Float[Array, "b t h2 w2 c2"]:
    """Fold p x p pixels into channels in Wan 2.2's order (c, column, row)."""
    b, t, h, w, c = x.shape
    x = x.reshape(b, t, h // p, p, w // p, p, c)
    return x.transpose(0, 1, 2, 4, 6, 5, 3).reshape(b, t, h // p, w // p, c * p * p)


def depth_to_space(
    x: Float[Array, "b t h w c"], p: int
) -> Float[Array, "b t h2 w2 c2"]:
    """Undo `space_to_depth`."""
    b, t, h, w, c = x.shape
    x = x.reshape(b, t, h, w, c // (p * p), p, p)
    return x.transpose(0, 1, 2, 6, 3, 5, 4).reshape(b, t, h * p, w * p, c // (p * p))


def sample_posterior(
    key: Array, mean: Float[Array, "*b z"], log_variance: Float[Array, "*b z"]
) -> Float[Array, "*b z"]:
    """Draw latents from the posterior (Kingma & Welling 2013)."""
    noise = jax.random.normal(key, mean.shape, mean.dtype)
    return mean + jnp.exp(0.5 * log_variance) * noise

"""The terms of a VAE's loss: L1, edges at several scales, KL, and a critic's hinge."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def l1(x: Float[Array, "b t h w c"], y: Float[Array, "b t h w c"]) -> Float[Array, ""]:
    """Mean absolute difference."""
    return jnp.mean(jnp.abs(x - y))


def squares(
    x: Float[Array, "b t h w c"], y: Float[Array, "b t h w c"]
) -> Float[Array, ""]:
    """Mean squared difference."""
    return jnp.mean(jnp.square(x - y))


def kl(
    mean: Float[Array, "b t h w z"], log_variance: Float[Array, "b t h w z"]
) -> Float[Array, ""]:
    """KL divergence from the standard normal, per latent number."""
    variance = jnp.exp(log_variance)
    return 0.5 * jnp.mean(jnp.square(mean) + variance - 1 - log_variance)


def edges(
    x: Float[Array, "b t h w c"], y: Float[Array, "b t h w c"], scales: int = 3
) -> Float[Array, ""]:
    """L1 between the differences of neighbours in t, h and w, at several scales.

    It asks for sharp edges in the right place, and needs no pretrained network.
    """
    total = jnp.zeros(())
    difference = x - y
    for scale in range(scales):
        if scale:
            difference = halve(difference)
        for axis in (1, 2, 3):
            if difference.shape[axis] > 1:
                total += jnp.mean(jnp.abs(jnp.diff(difference, axis=axis)))
    return total / scales


def halve(x: Float[Array, "b t h w c"]) -> Float[Array, "b t h2 w2 c"]:
    """Average 2 x 2 pixels."""
    b, t, h, w, c = x.shape
    return x.reshape(b, t, h // 2, 2, w // 2, 2, c).mean(axis=(3, 5))


def hinge_critic(
    real: Float[Array, "*b"], fake: Float[Array, "*b"]
) -> Float[Array, ""]:
    """The critic's loss (Lim & Ye 2017): real scores above 1, fake below -1."""
    return jnp.mean(jax.nn.relu(1 - real)) + jnp.mean(jax.nn.relu(1 + fake))


def hinge_generator(fake: Float[Array, "*b"]) -> Float[Array, ""]:
    """The generator's loss: raise the critic's score."""
    return -jnp.mean(fake)


def psnr(x: Float[Array, "*b"], y: Float[Array, "*b"]) -> Float[Array, ""]:
    """Peak signal-to-noise ratio in dB of values in [-1, 1]."""
    return -10 * jnp.log10(jnp.mean(jnp.square(x - y)) / 4)

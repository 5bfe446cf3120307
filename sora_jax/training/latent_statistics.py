"""Measure the mean and deviation of a VAE's latents, by which they are normalized."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import tqdm
from flax import nnx

from sora_jax.config import EncodeRun
from sora_jax.data.sources.protocol import ClipSource
from sora_jax.models.vae import VAE
from sora_jax.training.encode_clips import by_shape, draw, stack_and_pad


def measure_latents(vae: VAE, config: EncodeRun, source: ClipSource) -> VAE:
    """Measure mean and deviation of each latent channel on the first clips.

    The deviation is that of posterior samples, noise included, so that a channel
    without information is not scaled up to unit variance.
    """
    graphdef, params = nnx.split(vae)
    run = jax.jit(lambda p, clips: nnx.merge(graphdef, p).posterior(clips)[:2])
    count = min(config.statistics_clips, len(source))
    groups = by_shape(source, range(count), config.batch)
    means, variances = [], []
    for group in tqdm.tqdm(groups, desc="measuring latents", unit="batch"):
        pixels = [
            draw(config, index, 0, source.read(index).pixels).pixels
            for index, _ in group
        ]
        mean, log_variance = run(params, stack_and_pad(pixels, config.batch))
        means.append(np.asarray(mean[: len(group)]).reshape(-1, mean.shape[-1]))
        noise = np.exp(np.asarray(log_variance[: len(group)]))
        variances.append(noise.reshape(-1, mean.shape[-1]))
    values, noise = np.concatenate(means), np.concatenate(variances)
    deviation = np.sqrt(values.var(axis=0) + noise.mean(axis=0))
    vae.latent_mean.set_value(jnp.asarray(values.mean(axis=0)))
    vae.latent_std.set_value(jnp.asarray(deviation))
    return vae

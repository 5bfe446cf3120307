"""Measure what a VAE keeps of clips: no transformer can bring back more."""

from __future__ import annotations

import logging

import jax
import jax.numpy as jnp
import numpy as np
import tqdm
from flax import nnx
from jaxtyping import Array, Float

from sora_jax.config import EncodeRun
from sora_jax.data.sources.protocol import ClipSource
from sora_jax.models.vae import VAE
from sora_jax.training.encode_clips import by_shape, draw
from sora_jax.training.objectives.reconstruction_losses import psnr

_logger = logging.getLogger(__name__)
CLIPS = 4  # that are measured
POOR = 25.0  # dB, below which shapes and colours are visibly lost


def report_reconstruction(vae: VAE, config: EncodeRun, source: ClipSource) -> float:
    """Print how well the VAE reconstructs the first clips; warns if poorly.

    Returns:
      the mean PSNR in dB.
    """
    graphdef, params = nnx.split(vae)
    quality = jax.jit(lambda p, clip: _quality(nnx.merge(graphdef, p), clip))
    groups = by_shape(source, range(min(CLIPS, len(source))), 1)
    values = []
    for ((index, _),) in groups:
        pixels = draw(config, index, 0, source.read(index).pixels).pixels
        values.append(float(quality(params, pixels[None])))
    decibels = float(np.mean(values))
    tqdm.tqdm.write(
        f"the VAE reconstructs {len(values)} clips of evaluation at {decibels:.1f} dB "
        "(PSNR)"
    )
    if decibels < POOR:
        _logger.warning(
            "the VAE of %s keeps %.1f dB (PSNR) of these clips, and videos will look "
            "no better than its reconstructions: below %.0f dB, train a VAE on clips "
            "like these (docs/training.md), or give another",
            config.vae,
            decibels,
            POOR,
        )
    return decibels


def _quality(vae: VAE, clip: Float[Array, "b t h w 3"]) -> Float[Array, ""]:
    """Return the PSNR of a reconstruction."""
    decoded, _ = vae.reconstruct(vae.posterior(clip)[0])
    return psnr(jnp.clip(decoded, -1, 1), clip)

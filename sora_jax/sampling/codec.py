"""Clips to latents and back by the VAE, the way back as a stream of chunks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from sora_jax.models.vae import VAE

# An nnx.State, whose own generic hints upset the type checker of the tests.
Params = Any
# Latent frames decoded at once; a longer video streams through in chunks.
CHUNK = 8


def encode(
    vae: VAE, pixels: Float[np.ndarray, "b t h w 3"]
) -> Float[Array, "b t2 h2 w2 z"]:
    """Encode whole clips."""
    graphdef, params = nnx.split(vae)
    return run_encoder(graphdef, params, pixels)


def decode(
    vae: VAE, latents: Float[Array, "b t h w z"]
) -> Iterator[Float[np.ndarray, "b t2 h2 w2 3"]]:
    """Decode latents and yield frames; memory does not grow with their number."""
    graphdef, params = nnx.split(vae)
    factor = vae.config.time_factor
    frames, cache = latents.shape[1], None
    start = 0
    while start < frames:
        stop = min(frames, start + CHUNK + (start == 0))
        chunk = latents[:, start:stop]
        if start and stop - start < CHUNK:
            # Repeat the last latent, so that the last chunk needs no program of its
            # own; being causal, the frames before it do not notice.
            short = CHUNK - (stop - start)
            chunk = jnp.concatenate([chunk] + [chunk[:, -1:]] * short, axis=1)
        pixels, cache = run_decoder(graphdef, params, chunk, cache)
        count = (stop - start) * factor - (factor - 1 if start == 0 else 0)
        yield np.asarray(pixels)[:, :count]
        start = stop


def reconstruct(
    vae: VAE, pixels: Float[np.ndarray, "b t h w 3"]
) -> Float[np.ndarray, "b t h w 3"]:
    """Encode clips and decode them again."""
    return np.concatenate(list(decode(vae, encode(vae, pixels))), axis=1)


@partial(jax.jit, static_argnames="graphdef")
def run_encoder(graphdef: nnx.GraphDef, params: Params, pixels: Array) -> Array:
    """Encode a whole clip."""
    return nnx.merge(graphdef, params).encode(pixels)[0]


@partial(jax.jit, static_argnames="graphdef")
def run_decoder(
    graphdef: nnx.GraphDef, params: Params, latents: Array, cache: Any
) -> tuple[Array, Any]:
    """Decode a chunk, opening a stream or going on with one."""
    return nnx.merge(graphdef, params).decode(latents, cache)

"""Clips to latents and back by the VAE, the way back as a stream of chunks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from sora_jax import sharding
from sora_jax.config import VAEConfig
from sora_jax.models.vae import VAE
from sora_jax.nn.precision import compute_dtype
from sora_jax.sharding import SINGLE_DEVICE, MeshPlan
from sora_jax.types import AnyArray

# An nnx.State, whose own generic hints upset the type checker of the tests.
Params = Any
STATIC = ("graphdef", "mesh_plan")
# Logical axes of a clip.
FRAMES = ("batch", None, "height", "width", None)
# Latent frames that pass through the VAE at once; a longer video streams through.
MOST_FRAMES = 8
# Pixels of a chunk: where frames are large, fewer of them go at once.
MOST_PIXELS = 2**21
LIVE = 6  # arrays of the finest resolution that decoding holds at a time, about


def encode(
    vae: VAE,
    pixels: Float[np.ndarray, "b t h w 3"],
    mesh_plan: MeshPlan = SINGLE_DEVICE,
) -> Float[Array, "b t2 h2 w2 z"]:
    """Encode whole clips, as a stream."""
    graphdef, params = nnx.split(vae)
    mesh_plan = frame_mesh_plan(vae.config, pixels.shape[2:4], mesh_plan)
    params = replicate_params(params, mesh_plan)
    factor = vae.config.time_factor
    step = factor * frames_at_once(vae.config, pixels.shape[2:4])
    parts, cache, start = [], None, 0
    while start < pixels.shape[1]:
        stop = min(pixels.shape[1], start + step + (start == 0))
        chunk = pixels[:, start:stop]
        chunk = pad_with_last_frame(chunk, step) if start else chunk
        latents, cache = run_encoder(graphdef, params, chunk, cache, mesh_plan)
        parts.append(sharding.fetch(latents)[:, : -(-(stop - start) // factor)])
        start = stop
    return jnp.asarray(np.concatenate(parts, axis=1))


def decode(
    vae: VAE,
    latents: Float[AnyArray, "b t h w z"],
    mesh_plan: MeshPlan = SINGLE_DEVICE,
) -> Iterator[Float[np.ndarray, "b t2 h2 w2 3"]]:
    """Decode latents and yield frames; memory does not grow with their number."""
    graphdef, params = nnx.split(vae)
    latents = np.asarray(latents)  # on the device each cut would be compiled for
    factor, space = vae.config.time_factor, vae.config.space_factor
    size = latents.shape[2] * space, latents.shape[3] * space
    mesh_plan = frame_mesh_plan(vae.config, size, mesh_plan)
    params = replicate_params(params, mesh_plan)
    step = frames_at_once(vae.config, size)
    frames, cache, start = latents.shape[1], None, 0
    while start < frames:
        stop = min(frames, start + step + (start == 0))
        chunk = (
            pad_with_last_frame(latents[:, start:stop], step)
            if start
            else latents[:, :stop]
        )
        pixels, cache = run_decoder(graphdef, params, chunk, cache, mesh_plan)
        count = (stop - start) * factor - (factor - 1 if start == 0 else 0)
        yield sharding.fetch(pixels)[:, :count]
        start = stop


def frame_mesh_plan(
    config: VAEConfig, size: tuple[int, int], mesh_plan: MeshPlan
) -> MeshPlan:
    """The plan by which the same devices share frames of (height, width)."""
    rows, columns = (side // config.space_factor for side in size)
    return mesh_plan.for_frames(rows, columns)


def replicate_params(params: Params, mesh_plan: MeshPlan) -> Params:
    """Parameters on every device that shares frames."""
    if not mesh_plan.is_sharded:
        return params
    return jax.tree.map(lambda x: mesh_plan.put(x, *(None,) * x.ndim), params)


def frames_at_once(config: VAEConfig, size: tuple[int, int]) -> int:
    """Latent frames in a chunk of frames of so many (height, width) pixels."""
    pixels = config.time_factor * size[0] * size[1]
    return max(1, min(MOST_FRAMES, MOST_PIXELS // pixels))


def pad_with_last_frame(x: AnyArray, frames: int) -> AnyArray:
    """Repeat the last frame, so that a last, short chunk needs no program of its own.

    All being causal, the frames before it do not notice.
    """
    short = [x[:, -1:]] * (frames - x.shape[1])
    return x.__array_namespace__().concatenate([x, *short], axis=1) if short else x


def decoder_bytes(config: VAEConfig, size: tuple[int, int]) -> int:
    """About what decoding takes beside the weights, for frames of (height, width).

    The finest resolution rules: the arrays of some convolutions at once, and the two
    frames that each keeps.
    """
    frames = config.time_factor * frames_at_once(config, size)
    cells = size[0] * size[1] // config.patch**2
    width = config.decoder_width * config.multipliers[0]
    itemsize = compute_dtype(config.dtype).itemsize
    layers = 2 * (config.blocks + 1)
    return cells * width * itemsize * (LIVE * frames + 2 * layers)


def reconstruct(
    vae: VAE,
    pixels: Float[np.ndarray, "b t h w 3"],
    mesh_plan: MeshPlan = SINGLE_DEVICE,
) -> Float[np.ndarray, "b t h w 3"]:
    """Encode clips and decode them again.

    Raises:
      ValueError: the VAE does not divide their frames.
    """
    check_divisible(vae.config, pixels.shape)
    latents = encode(vae, pixels, mesh_plan)
    return np.concatenate(list(decode(vae, latents, mesh_plan)), axis=1)


def check_divisible(config: VAEConfig, shape: tuple[int, ...]) -> None:
    """Refuse clips `[b t h w 3]` that a VAE does not divide.

    Raises:
      ValueError: says what it divides.
    """
    factor, cell = config.time_factor, config.space_factor
    if extra := (shape[1] - 1) % factor:
        raise ValueError(
            f"pixels must have 1 + {factor}k frames, got {shape[1]}: leave {extra} out"
        )
    if shape[2] % cell or shape[3] % cell or shape[4] != 3 or not math.prod(shape):
        raise ValueError(
            f"pixels must be [b t h w 3] of sides in steps of {cell}, got {list(shape)}"
        )


@partial(jax.jit, static_argnames=STATIC)
def run_encoder(
    graphdef: nnx.GraphDef,
    params: Params,
    pixels: Array,
    cache: Any,
    mesh_plan: MeshPlan = SINGLE_DEVICE,
) -> tuple[Array, Any]:
    """Encode a chunk, opening a stream or going on with one."""
    vae = nnx.merge(graphdef, params)
    return constrain_frames(vae.encode(pixels, cache, mesh_plan), mesh_plan)


def decode_chunk(
    graphdef: nnx.GraphDef,
    params: Params,
    latents: Array,
    cache: Any,
    mesh_plan: MeshPlan = SINGLE_DEVICE,
) -> tuple[Array, Any]:
    """Decode a chunk, opening a stream or going on with one."""
    vae = nnx.merge(graphdef, params)
    return constrain_frames(vae.decode(latents, cache, mesh_plan), mesh_plan)


def constrain_frames(arrays: Any, mesh_plan: MeshPlan) -> Any:
    """Leave on each device its part of frames, and all of what is no frame."""

    def constrain(x: Array) -> Array:
        axes = FRAMES if x.ndim == len(FRAMES) else (None,) * x.ndim
        return mesh_plan.constrain(x, *axes)

    return jax.tree.map(constrain, arrays)


run_decoder = jax.jit(decode_chunk, static_argnames=STATIC)

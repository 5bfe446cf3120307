"""Encode clips to latents and decode latents to frames, chunk by chunk."""

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

# An nnx.State; beartype rejects its generic annotation.
Params = Any
STATIC = ("graphdef", "mesh_plan")
# Logical axes of a clip.
FRAMES = ("batch", None, "height", "width", None)
# Latent frames in a chunk, at most.
MOST_FRAMES = 8
# Pixels in a chunk, at most: larger frames mean shorter chunks.
MOST_PIXELS = 2**21
LIVE = 6  # arrays of the finest resolution that decoding holds at once, roughly


def encode(
    vae: VAE,
    pixels: Float[np.ndarray, "b t h w 3"],
    mesh_plan: MeshPlan = SINGLE_DEVICE,
) -> Float[Array, "b t2 h2 w2 z"]:
    """Encode whole clips, chunk by chunk."""
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
    """Decode latents and yield frames in chunks, in constant memory."""
    graphdef, params = nnx.split(vae)
    latents = np.asarray(latents)  # slicing on the device would compile for each length
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


class StreamDecoder:
    """Decodes latents of whole frames as they are made, in constant memory.

    It runs two programs, for the opening and for later pieces of equal length.
    """

    def __init__(
        self,
        vae: VAE,
        size: tuple[int, int],
        block: int,
        mesh_plan: MeshPlan = SINGLE_DEVICE,
    ):
        """Prepare to decode.

        Args:
          vae: the VAE.
          size: (height, width) of frames.
          block: latent frames that come at once, but for the first ones.
          mesh_plan: how devices share frames.
        """
        self.graphdef, params = nnx.split(vae)
        self.time_factor = vae.config.time_factor
        self.mesh_plan = frame_mesh_plan(vae.config, size, mesh_plan)
        self.params = replicate_params(params, self.mesh_plan)
        most = frames_at_once(vae.config, size)
        self.piece = max(n for n in range(1, most + 1) if block % n == 0)
        self.cache: Any = None
        self.waiting: Float[np.ndarray, "b t h w z"] | None = None

    def decode(
        self, latents: Float[AnyArray, "b t h w z"], *, is_last: bool = False
    ) -> Iterator[Float[np.ndarray, "b t2 h2 w2 3"]]:
        """Yield the frames of the next latents.

        The opening needs two latent frames: a single one waits for the next, unless it
        is the last.
        """
        latents = np.asarray(latents)
        if self.waiting is not None:
            latents = np.concatenate([self.waiting, latents], axis=1)
            self.waiting = None
        start, frames = 0, latents.shape[1]
        if self.cache is None and frames == 1 and not is_last:
            self.waiting = latents
            return
        while start < frames:
            if self.cache is None:
                stop, dropped = min(frames, 2) + max(0, frames - 2) % self.piece, 1
                chunk = latents[:, :stop]
            else:
                stop, dropped = min(frames, start + self.piece), 0
                chunk = pad_with_last_frame(latents[:, start:stop], self.piece)
            pixels, self.cache = run_decoder(
                *(self.graphdef, self.params, chunk, self.cache), self.mesh_plan
            )
            factor = self.time_factor
            yield sharding.fetch(pixels)[
                :, : (stop - start - dropped) * factor + dropped
            ]
            start = stop


def frame_mesh_plan(
    config: VAEConfig, size: tuple[int, int], mesh_plan: MeshPlan
) -> MeshPlan:
    """Return the plan that splits frames of (height, width) over the same devices."""
    rows, columns = (side // config.space_factor for side in size)
    return mesh_plan.for_frames(rows, columns)


def replicate_params(params: Params, mesh_plan: MeshPlan) -> Params:
    """Replicate parameters on every device of the plan."""
    if not mesh_plan.is_sharded:
        return params
    return jax.tree.map(lambda x: mesh_plan.put(x, *(None,) * x.ndim), params)


def frames_at_once(config: VAEConfig, size: tuple[int, int]) -> int:
    """Return the latent frames in a chunk, for frames of (height, width) pixels."""
    pixels = config.time_factor * size[0] * size[1]
    return max(1, min(MOST_FRAMES, MOST_PIXELS // pixels))


def pad_with_last_frame(x: AnyArray, frames: int) -> AnyArray:
    """Pad to `frames` frames by repeating the last, to reuse the compiled program.

    The VAE is causal, so earlier frames do not change.
    """
    short = [x[:, -1:]] * (frames - x.shape[1])
    return x.__array_namespace__().concatenate([x, *short], axis=1) if short else x


def decoder_bytes(config: VAEConfig, size: tuple[int, int]) -> int:
    """Estimate the bytes of decoding, without weights, for frames of (height, width).

    The finest resolution dominates: the live arrays of a few convolutions, and the two
    frames that each one caches.
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
      ValueError: see `check_divisible`.
    """
    check_divisible(vae.config, pixels.shape)
    latents = encode(vae, pixels, mesh_plan)
    return np.concatenate(list(decode(vae, latents, mesh_plan)), axis=1)


def check_divisible(config: VAEConfig, shape: tuple[int, ...]) -> None:
    """Check that a VAE can encode clips `[b t h w 3]`.

    Raises:
      ValueError: frames or sides are no multiples of its factors.
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
    """Encode a chunk; without a cache it is the first of a clip."""
    vae = nnx.merge(graphdef, params)
    return constrain_frames(vae.encode(pixels, cache, mesh_plan), mesh_plan)


def decode_chunk(
    graphdef: nnx.GraphDef,
    params: Params,
    latents: Array,
    cache: Any,
    mesh_plan: MeshPlan = SINGLE_DEVICE,
) -> tuple[Array, Any]:
    """Decode a chunk; without a cache it is the first of a clip."""
    vae = nnx.merge(graphdef, params)
    return constrain_frames(vae.decode(latents, cache, mesh_plan), mesh_plan)


def constrain_frames(arrays: Any, mesh_plan: MeshPlan) -> Any:
    """Shard arrays of frames over the devices and replicate all others."""

    def constrain(x: Array) -> Array:
        axes = FRAMES if x.ndim == len(FRAMES) else (None,) * x.ndim
        return mesh_plan.constrain(x, *axes)

    return jax.tree.map(constrain, arrays)


run_decoder = jax.jit(decode_chunk, static_argnames=STATIC)

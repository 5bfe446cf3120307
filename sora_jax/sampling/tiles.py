"""Decode frames too large for the device tile by tile, and blend the overlaps."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from sora_jax import memory, sharding
from sora_jax.config import VAEConfig
from sora_jax.models.vae import VAE
from sora_jax.sampling import codec
from sora_jax.sampling.blending import tile_grid
from sora_jax.sharding import SINGLE_DEVICE, MeshPlan
from sora_jax.types import AnyArray

_logger = logging.getLogger(__name__)

OVERLAP = 0.25  # of a tile, blended with its neighbour
LEAST = 16  # latent cells along the side of the smallest tile
MOST_FRAMES = 16  # yielded at a time


def choose_tile(
    config: VAEConfig, size: tuple[int, int], mesh_plan: MeshPlan = SINGLE_DEVICE
) -> int | None:
    """Choose the side of tiles in latent cells; None if whole frames fit into memory.

    Devices share frames and tiles.
    """
    room = sharding.min_over_hosts(memory.available(mesh_plan) * memory.WEIGHTS_SHARE)
    needed = decoding_bytes(config, size, mesh_plan.devices)
    if needed <= room:
        return None
    tile = max(size) // config.space_factor
    while tile > LEAST:
        if decoding_bytes(config, tile_pixels(config, tile), mesh_plan.devices) <= room:
            break
        tile = max(LEAST, tile // 2)
    _logger.info(
        "decoding whole frames takes about %s of %s free: decoding tiles of %d pixels",
        memory.gib(needed),
        memory.gib(room),
        tile * config.space_factor,
    )
    return tile


def decoding_bytes(config: VAEConfig, size: tuple[int, int], devices: int) -> int:
    """Estimate the bytes per device of decoding frames of (height, width)."""
    height, width = (length // config.space_factor for length in size)
    rows, columns = sharding.frame_grid(height, width, devices)
    return codec.decoder_bytes(config, size) // (rows * columns)


def tile_pixels(config: VAEConfig, tile: int) -> tuple[int, int]:
    """Return the (height, width) of a tile in pixels."""
    return tile * config.space_factor, tile * config.space_factor


def decode_tiles(
    vae: VAE,
    latents: Float[AnyArray, "b t h w z"],
    tile: int,
    mesh_plan: MeshPlan = SINGLE_DEVICE,
) -> Iterator[Float[np.ndarray, "b t2 h2 w2 3"]]:
    """Decode each tile over all of its time, and blend the overlaps.

    The device holds one tile, where `codec.decode` holds whole frames; the host joins
    them. Context beyond a tile is lost in the decoder, so use it only for frames that
    do not fit.

    Args:
      vae: the VAE.
      latents: of whole frames.
      tile: latent cells along a tile's side.
      mesh_plan: how devices share a tile.
    """
    space, sizes = vae.config.space_factor, latents.shape[2:4]
    frames = 1 + (latents.shape[1] - 1) * vae.config.time_factor
    height, width = (size * space for size in sizes)
    total = np.zeros((len(latents), frames, height, width, 3), np.float32)
    for (rows, columns), weights in tile_grid(sizes, (tile, tile), OVERLAP):
        weights = weights.repeat(space, axis=0).repeat(space, axis=1)[..., None]
        here = [slice(cut.start * space, cut.stop * space) for cut in (rows, columns)]
        start = 0
        for piece in codec.decode(vae, latents[:, :, rows, columns], mesh_plan):
            stop = start + piece.shape[1]
            total[:, start:stop, *here] += piece * weights
            start = stop
    yield from np.split(total, range(MOST_FRAMES, frames, MOST_FRAMES), axis=1)

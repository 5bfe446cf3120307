"""Decode frames too large for the device tile by tile, and blend the overlaps."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from sora_jax import memory, sharding
from sora_jax.config import VAEConfig
from sora_jax.models.vae import VAE
from sora_jax.sampling import codec
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
    rows = [tile_starts(size, tile) for size in sizes]
    ramps = [
        [ramp(start, min(tile, size), size) for start in starts]
        for starts, size in zip(rows, sizes, strict=True)
    ]
    frames = 1 + (latents.shape[1] - 1) * vae.config.time_factor
    height, width = (size * space for size in sizes)
    total = np.zeros((len(latents), frames, height, width, 3), np.float32)
    share = np.zeros((height, width, 1), np.float32)
    for (y, x), pair in zip(
        itertools.product(*rows), itertools.product(*ramps), strict=True
    ):
        cut = latents[:, :, y : y + tile, x : x + tile]
        weight = np.outer(*pair).repeat(space, axis=0).repeat(space, axis=1)[..., None]
        here = np.s_[
            y * space : y * space + len(weight), x * space : x * space + weight.shape[1]
        ]
        share[here] += weight
        start = 0
        for piece in codec.decode(vae, cut, mesh_plan):
            stop = start + piece.shape[1]
            total[:, start:stop, *here] += piece * weight
            start = stop
    total /= share
    yield from np.split(total, range(MOST_FRAMES, frames, MOST_FRAMES), axis=1)


def tile_starts(size: int, tile: int) -> list[int]:
    """Return the starts of overlapping tiles; the last ends at the frame's edge."""
    if size <= tile:
        return [0]
    step = max(1, tile - int(tile * OVERLAP))
    return [*range(0, size - tile, step), size - tile]


def ramp(start: int, tile: int, size: int) -> Float[np.ndarray, " tile"]:
    """Return blending weights along a tile; they fall off at inner edges only."""
    overlap = max(1, int(tile * OVERLAP))
    place = np.arange(tile, dtype=np.float32)
    rising = np.minimum(1.0, (place + 1) / (overlap + 1))
    falling = rising[::-1]
    one = np.ones(tile, np.float32)
    return np.minimum(
        one if start == 0 else rising, one if start + tile == size else falling
    ).astype(np.float32)

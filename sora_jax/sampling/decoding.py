"""Decode the latents of windows to frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from sora_jax.sampling import codec, tiles
from sora_jax.sampling.request import Request
from sora_jax.sampling.window_sampler import Progress
from sora_jax.types import AnyArray
from sora_jax.weights.model_weights import Weights

Frames = Float[np.ndarray, "_ _ _ _ 3"]  # [b t h w 3]


def window_numbers(windows: Sequence[Any], progress: Progress) -> Iterable[int]:
    """Return the indices of the windows; show progress if there are several."""
    numbers = range(len(windows))
    return numbers if len(windows) == 1 else progress(numbers, "window")


def decode_video(
    weights: Weights,
    latents: Float[AnyArray, "b t h w z"],
    request: Request,
    progress: Progress,
) -> Iterator[Frames]:
    """Decode a video, in whole frames or in tiles, as memory allows."""
    vae, mesh_plan, cells = weights.vae, weights.mesh_plan, tile_of(weights, request)
    chunks = (
        tiles.decode_tiles(vae, latents, cells, mesh_plan)
        if cells
        else codec.decode(vae, latents, mesh_plan)
    )
    numbers = range(1 + vae.config.time_factor * (latents.shape[1] - 1))
    decoded = iter(progress(numbers, "frame"))
    for chunk in chunks:
        yield chunk
        for _ in range(chunk.shape[1]):
            next(decoded, None)
    next(decoded, None)  # lets progress end


def tile_of(weights: Weights, request: Request) -> int | None:
    """Return the side of the tiles to decode, in latent cells; 0 or None: whole."""
    tile, config = request.settings.tile, weights.config.vae
    if tile is None:
        return tiles.choose_tile(config, request.settings.size, weights.mesh_plan)
    return tile // config.space_factor

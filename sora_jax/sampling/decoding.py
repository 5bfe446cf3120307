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
    vae, mesh_plan = weights.vae, weights.mesh_plan
    tile = request.settings.tile
    cells = tile and tile // vae.config.space_factor
    if tile is None:
        cells = tiles.choose_tile(vae.config, request.settings.size, mesh_plan)
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

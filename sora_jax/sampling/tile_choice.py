"""Choose and check the tiles in which large frames are refined. Needs no JAX."""

from __future__ import annotations

import dataclasses
import math

from sora_jax.config import ModelConfig, SamplingConfig
from sora_jax.sampling.request import Request
from sora_jax.sampling.request_checks import check_shape

# Frames up to so many times as large as those of training are refined whole.
LARGER = 1.5


def choose_tile(settings: SamplingConfig, model: ModelConfig) -> tuple[int, int] | None:
    """Return the (height, width) of tiles for frames of a size; None: whole frames.

    Unless the settings name them, tiles have the model's own size, turned as the frame
    is, and are used for frames much larger than those that the model was trained on,
    unless it is causal, and makes blocks of whole frames.
    """
    size, tile = settings.size, settings.refine_tile
    if tile is None:
        if model.causal is not None:
            return None
        own = model.sampling.size
        trained = max(map(math.prod, model.seen.sizes or (own,)))
        if math.prod(size) <= LARGER * trained:
            return None
        is_turned = (size[0] - size[1]) * (own[0] - own[1]) < 0
        tile = own[::-1] if is_turned else own
    tile = min(tile[0], size[0]), min(tile[1], size[1])
    return None if tile == size else tile


def of_tile(request: Request, model: ModelConfig) -> Request:
    """Return the request for one tile of another; without tiles, that one."""
    if request.tile is None:
        return request
    settings = dataclasses.replace(
        request.settings, size=request.tile, frames=request.window(model)
    )
    return dataclasses.replace(
        request, settings=settings, tile=None, source=None, noise=None, story=()
    )


def check_tile(request: Request, model: ModelConfig) -> list[str]:
    """Return problems with the tiles of a request."""
    if request.tile is None:
        return []
    settings = dataclasses.replace(request.settings, size=request.tile)
    problems = [
        line.replace("size: ", "refine_tile: ", 1)
        for line in check_shape(settings, model, ())
        if line.startswith("size: ")
    ]
    if model.causal is not None:
        problems.append(
            f"refine_tile: the causal model {model.name} makes blocks of whole frames: "
            "leave it out, or refine with weights that see the whole video"
        )
    if settings.cache != "none":
        problems.append(
            f"cache: {settings.cache} skips no steps of frames that are refined in "
            "tiles: leave it out, or raise refine_tile to the size"
        )
    return problems

"""Drift and seams of frames refined in tiles: `python benchmarks/refine.py`.

The same latents are refined whole and in tiles, by a small Wan transformer with random
weights, or by the default ones. Drift is the PSNR of tiled latents against whole ones,
over their range. A seam is where a tile begins or ends: the change of the difference
between both there, over that everywhere else (1: no seam).
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import numpy as np
import tyro
from caching import random_wan

from sora_jax.data.video import fit
from sora_jax.sampling.prompt_cache import PromptCache
from sora_jax.sampling.request import Request
from sora_jax.sampling.tiled_sampler import TiledSampler
from sora_jax.sampling.window_rows import Window
from sora_jax.sampling.window_sampler import WindowSampler, no_progress
from sora_jax.weights import bundle, folders

OVERLAPS = (0.0, 0.25, 0.5)


def main(
    model: Literal["wan", "default"] = "wan",
    size: tuple[int, int] = (256, 384),
    tile: tuple[int, int] = (128, 128),
    steps: int = 10,
    strength: float = 0.4,
) -> None:
    """Print a row for each overlap.

    Args:
      model: a small Wan model with random weights, or the default ones.
      size: (height, width) of the frames.
      tile: (height, width) of the tiles.
      steps: from pure noise; the share `strength` of them is run.
      strength: of the noise.
    """
    weights = random_wan() if model == "wan" else folders.load_weights(bundle.ASSETS)
    settings = weights.config.sampling.asked(steps=steps, size=size, frames=9)
    request = Request(
        prompts=("a red ball bounces on a green floor",),
        settings=settings,
        source=np.zeros((1, 1, 1, 3), np.float32),
        strength=strength,
    )
    shape = request.latent_shape(weights.config)
    rng = np.random.default_rng(0)
    coarse = rng.normal(size=(shape[0], 3, 5, shape[3])).astype(np.float32)
    source = 2 * fit(coarse / 4, *shape[1:3], "stretch")
    cache = PromptCache(weights)
    window = Window(frames=shape[0], source=source)
    whole = np.asarray(WindowSampler(weights, cache, request).sample(window))
    print(f"{weights.config.name}, {size[1]}x{size[0]} in tiles of {tile[1]}x{tile[0]}")
    print("| overlap, at least | tiles | PSNR, dB | seams |")
    print("|---:|---:|---:|---:|")
    for overlap in OVERLAPS:
        asked = dataclasses.replace(settings, refine_overlap=overlap)
        tiled = dataclasses.replace(request, settings=asked, tile=tile)
        sampler = TiledSampler(weights, cache, tiled, no_progress)
        made = sampler.sample(source)
        print(
            f"| {overlap:g} | {len(sampler.grid)} | {psnr(made, whole):.1f} | "
            f"{seams(made - whole, sampler):.2f} |",
            flush=True,
        )


def psnr(made: np.ndarray, whole: np.ndarray) -> float:
    """Return the PSNR in dB over the range of the whole."""
    error = np.square(made - whole).mean()
    return 10 * math.log10(np.ptp(whole) ** 2 / error)


def seams(error: np.ndarray, sampler: TiledSampler) -> float:
    """Return the change of an error where tiles begin or end, over that elsewhere."""
    at_seams, elsewhere = [], []
    for axis in (2, 3):
        steps = np.diff(np.moveaxis(error, axis, 0), axis=0)
        # Averaged along the border first, where noise cancels and a seam does not.
        steps = np.square(steps.mean(axis=(1, 2, 3))).mean(axis=-1)
        starts = np.array(sampler.grid.starts[axis - 1])
        edges = {*starts[1:], *(starts[:-1] + sampler.tile_shape[axis - 1])}
        is_edge = np.isin(np.arange(len(steps)) + 1, list(edges))
        # Between patches only: inside them there is no border.
        is_between = (np.arange(len(steps)) + 1) % sampler.patch[axis - 1] == 0
        at_seams += list(steps[is_edge])
        elsewhere += list(steps[is_between & ~is_edge])
    return math.sqrt(np.mean(at_seams) / np.mean(elsewhere))


if __name__ == "__main__":
    tyro.cli(main)

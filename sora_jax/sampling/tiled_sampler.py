"""Denoise frames larger than a model was trained on, in tiles that agree at each step.

MultiDiffusion (Bar-Tal et al. 2023, arXiv 2302.08113): in each step the velocity of the
whole video is the average of those of overlapping tiles, in space and in time, and the
solver advances the whole. Tiles never drift apart, so there is nothing to join. All see
the same noise level, so that averages of velocities and of predicted data are the same.

The host holds the latents of the video, devices a few tiles at a time.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from sora_jax import sharding
from sora_jax.data.patches import grid_of, patchify, unpatchify
from sora_jax.diffusion import solvers
from sora_jax.sampling import codec, denoising
from sora_jax.sampling.blending import Tile, tile_grid
from sora_jax.sampling.condition_encoding import encode_conditions
from sora_jax.sampling.decoding import Frames, decode_video
from sora_jax.sampling.prompt_cache import PromptCache
from sora_jax.sampling.request import Request
from sora_jax.sampling.stories import stretches_of
from sora_jax.sampling.tile_choice import of_tile
from sora_jax.sampling.window_rows import Window
from sora_jax.sampling.window_sampler import Progress, WindowSampler
from sora_jax.sampling.windows import crop_condition
from sora_jax.types import AnyArray, Batch, Context, Tokens
from sora_jax.weights.model_weights import Weights

# Makes a solver's step return the velocity itself, so that it is compiled only once for
# tiles, and for whole videos of a tile's shape.
VELOCITY = np.array([[0.0, 1.0]], np.float32)

Latents: TypeAlias = Float[np.ndarray, "_ _ _ _ _"]  # [b t h w z]


class TileInputs(NamedTuple):
    """What the transformer reads beside the latents, for several tiles at once."""

    batch: Batch
    tokens: Tokens
    contexts: dict[str, Context]


class TiledSampler:
    """Samples a request that has a `tile`.

    Tiles have the coordinates of a video of their own, from 0: those that the weights
    were trained with. As positions are rotary, only distances count.
    """

    def __init__(
        self,
        weights: Weights,
        prompt_cache: PromptCache,
        request: Request,
        progress: Progress,
    ):
        self.weights, self.prompt_cache = weights, prompt_cache
        self.request, self.progress = request, progress
        config, tile = weights.config, of_tile(request, weights.config)
        self.patch, self.shape = config.dit.patch, request.latent_shape(config)
        self.tile_shape = tile.latent_shape(config)
        self.grid = tile_grid(
            self.shape[:3],
            self.tile_shape[:3],
            request.settings.refine_overlap,
            self.patch,
        )
        self.at_once = tiles_at_once(weights, tile)
        tile = dataclasses.replace(tile, prompts=request.prompts * self.at_once)
        self.story = stretches_of(request, config)
        self.sampler = WindowSampler(
            weights, prompt_cache, tile, captions=len(self.story)
        )
        self.control: Float[np.ndarray, "1 t h w q"] | None = None

    def sample(self, source: Float[AnyArray, "t h w z"]) -> Latents:
        """Sample latents `[b t h w z]` from those of a source."""
        if self.weights.config.conditioning == "control":
            self.control = self.nothing_given()
        table, videos = self.sampler.table, len(self.request.prompts)
        if not len(table.sigmas):
            return np.stack([np.asarray(source)] * videos)
        stack = np.zeros((table.size, videos, *self.shape), np.float32)
        sigma = float(table.sigmas[0])
        for span, noise in self.noise():
            stack[0, :, span] = sigma * noise
        if self.request.strength < 1:
            stack[0] += (1 - sigma) * np.asarray(source)
        for step in self.progress(range(len(table.sigmas)), "step"):
            velocity = self.velocity(stack[0], step)
            self.advance(stack, velocity, step)
        self.prompt_cache.release_network()
        return stack[0]

    def velocity(self, x: Latents, step: int) -> Latents:
        """Blend the velocities of all tiles."""
        total = np.zeros_like(x)
        for window, tiles in itertools.groupby(self.grid, self.window_of):
            inputs, group = self.inputs(window), list(tiles)
            for first in range(0, len(group), self.at_once):
                here = group[first : first + self.at_once]
                found = self.velocities([x[:, *cut] for cut, _ in here], inputs, step)
                for (cut, weights), each in zip(here, found, strict=True):
                    total[:, *cut] += weights[..., None] * each
        return total

    def velocities(
        self, tiles: Sequence[Latents], inputs: TileInputs, step: int
    ) -> Sequence[Latents]:
        """Evaluate the velocities of at most `at_once` tiles."""
        # Always of as many, so that one program serves all.
        several = [*tiles, *[tiles[0]] * (self.at_once - len(tiles))]
        rows = np.stack([patchify(each, self.patch) for x in several for each in x])
        count, room = rows.shape[1], inputs.tokens.x.shape[1]
        rows = np.pad(rows, ((0, 0), (0, room - count), (0, 0)))
        time = self.sampler.table.times[step]
        name, guidance = self.sampler.expert(time)
        found = denoising.denoise_step(
            self.prompt_cache.network(name, inputs.batch, inputs.contexts),
            self.weights.mesh_plan.put(rows[None], *denoising.STACK),
            inputs.tokens,
            inputs.contexts,
            jnp.float32(time),
            jnp.asarray(VELOCITY),
            jnp.float32(guidance),
            is_guided=self.sampler.is_guided,
        )
        grid = grid_of(self.tile_shape, self.patch)
        rows = sharding.fetch(found)[0, :, :count]
        latents = [unpatchify(row, grid, self.patch) for row in rows]
        return np.split(np.stack(latents), self.at_once)[: len(tiles)]

    def window_of(self, tile: Tile) -> Window:
        """Return the window of a tile; those that read the same have equal ones."""
        start = tile[0][0].start
        story = ((0, None),)
        if len(self.story) > 1:  # all of it, so that windows share encoded prompts
            story = tuple((at - start, text) for at, text in self.story)
        return Window(frames=self.tile_shape[0], time=float(start > 0), story=story)

    def inputs(self, window: Window) -> TileInputs:
        """Return what the transformer reads beside the latents of tiles."""
        batch = self.sampler.rows(window)
        contexts = self.prompt_cache.contexts(batch)
        tokens = denoising.place_tokens(batch.tokens, self.weights.mesh_plan)
        if self.control is not None:
            tokens = self.sampler.with_channels(self.control, tokens)
        return TileInputs(batch, tokens, contexts)

    def nothing_given(self) -> Float[np.ndarray, "1 t h w q"]:
        """Return what a control branch reads of a tile without given pixels."""
        settings = self.sampler.request.settings
        grey = crop_condition(None, 0, settings.frames, settings.size)
        _, ((_, channels),) = encode_conditions(self.weights, [(1.0, [grey])])
        return channels

    def advance(
        self,
        stack: Float[np.ndarray, "s b t h w z"],
        velocity: Latents,
        step: int,
    ) -> None:
        """Take the solver's step in place, latent frame by latent frame."""
        table = self.sampler.table
        matrix = jnp.asarray(table.matrices[step], jnp.float32)
        fresh = self.noise(step) if table.is_stochastic else ()
        for t in range(self.shape[0]):
            x = jnp.asarray(stack[:, :, t]), jnp.asarray(velocity[:, t])
            stack[:, :, t] = solvers.advance(*x, matrix)
        for span, noise in fresh:
            for weight, each in zip(table.noise[step], stack, strict=True):
                each[:, span] += np.float32(weight) * noise

    def noise(self, step: int | None = None) -> Iterator[tuple[slice, Latents]]:
        """Yield the noise of as many latent frames as a tile has, one after another.

        That of a video no longer than a tile is as if it were sampled whole.
        """
        given = self.request.noise if step is None else None
        for number, start in enumerate(range(0, self.shape[0], self.tile_shape[0])):
            span = slice(start, min(self.shape[0], start + self.tile_shape[0]))
            if given is not None:
                yield span, np.asarray(given[:, span])
                continue
            grid = grid_of((span.stop - span.start, *self.shape[1:]), self.patch)
            shape = math.prod(grid), self.weights.config.dit.patch_features
            tokens = denoising.draw_noise(self.request, number, shape, step)
            yield (
                span,
                np.stack([unpatchify(x, grid, self.patch) for x in np.asarray(tokens)]),
            )


def sample_tiled(
    weights: Weights, prompt_cache: PromptCache, request: Request, progress: Progress
) -> Iterator[Frames]:
    """Refine the source of a request in tiles, and yield frames chunk by chunk."""
    assert request.source is not None
    source = codec.encode(weights.vae, request.source[None], weights.mesh_plan)[0]
    sampler = TiledSampler(weights, prompt_cache, request, progress)
    latents = sampler.sample(np.asarray(source))
    yield from decode_video(weights, latents, request, progress)


def tiles_at_once(weights: Weights, tile: Request) -> int:
    """Return how many tiles the devices share: the fewest that fill them."""
    shards = weights.mesh_plan.size("batch")
    rows = len(tile.prompts)
    rows *= 2 if tile.settings.guides(weights.config.boundary is not None) else 1
    return shards // math.gcd(shards, rows)

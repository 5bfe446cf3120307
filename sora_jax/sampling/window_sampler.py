"""Sample the latents of one window, from noise or a noisy source.

prompts -> text states -> keys and values, once; noise -> [DiT, solver step] x N ->
latents. `denoising` holds the compiled parts.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from sora_jax import sharding
from sora_jax.data.packing import Sample, pack_row
from sora_jax.data.patches import coordinates, grid_of, patchify, unpatchify
from sora_jax.data.pipeline import join
from sora_jax.diffusion import solvers
from sora_jax.sampling import denoising
from sora_jax.sampling.cached_steps import ResidualCache
from sora_jax.sampling.magcache import plan_skips
from sora_jax.sampling.prompt_cache import PromptCache
from sora_jax.sampling.request import Request
from sora_jax.types import (
    PICTURE,
    AnyArray,
    Batch,
    ContextInputs,
    Tokens,
)
from sora_jax.weights.model_weights import Weights

# Wraps a range to show progress in a unit, as in (range, unit) -> range.
Progress = Callable[[Sequence[int], str], Iterable[int]]


def no_progress(numbers: Sequence[int], unit: str) -> Iterable[int]:
    """Show no progress."""
    del unit
    return numbers


@dataclasses.dataclass(frozen=True, kw_only=True)
class Window:
    """Inputs of one run of the solver.

    Attributes:
      number: of the window; each has its own noise.
      frames: latent frames, without references.
      references: latent frames before them, which are made again and dropped.
      prefix: clean latents at the beginning, for each video.
      is_mid_clip: whether its first latent is not the single frame that opens a video.
      extras: (share of the steps in which they hold, conditioning channels) pairs, in
        order of the shares; after the last, the channels are zeros.
      pictures: the given frames, p of each video, for the picture encoder.
      source: latents to start denoising from.
      story: (latent frame, prompt) of each stretch of time, from 0 on; None is the
        video's own prompt.
    """

    number: int = 0
    frames: int
    references: int = 0
    prefix: Float[AnyArray, "b _ h w z"] | None = None
    is_mid_clip: bool = False
    extras: tuple[tuple[int | float, Float[np.ndarray, "b t h w q"]], ...] = ()
    pictures: Float[np.ndarray, "b p h2 w2 3"] | None = None
    source: Float[AnyArray, "t h w z"] | None = None
    story: tuple[tuple[int, str | None], ...] = ((0, None),)


def with_pictures(row: Batch, pictures: Float[np.ndarray, "p h w 3"]) -> Batch:
    """Let all tokens of a row read a group of pictures."""
    ids = (np.asarray(row.tokens.segments) > 0).astype(np.int32)
    read = ContextInputs(inputs=pictures[None, None], ids=ids)
    return dataclasses.replace(row, contexts={**row.contexts, PICTURE: read})


class WindowSampler:
    """Samples the windows of a request.

    Attributes:
      captions: stretches of time that a window has room for.
    """

    def __init__(
        self,
        weights: Weights,
        prompt_cache: PromptCache,
        request: Request,
        progress: Progress = no_progress,
        captions: int = 1,
    ):
        self.weights, self.captions = weights, captions
        self.prompt_cache = prompt_cache
        self.request, self.progress = request, progress
        self.config, settings = weights.config, request.settings
        self.is_guided = settings.guides(self.config.boundary is not None)
        self.table = solvers.make_table(
            settings.solver,
            settings.steps,
            settings.shift,
            request.strength,
            settings.sigmas,
        )

    def sample(self, window: Window) -> Float[Array, "b t h w z"]:
        """Sample the latents of a window.

        The text encoder runs first, then the transformer (or two), so that they need
        not fit into memory together.
        """
        steps, videos = len(self.table.sigmas), len(self.request.prompts)
        if window.source is not None and steps == 0:
            return jnp.stack([jnp.asarray(window.source)] * videos)
        batch = self.rows(window)
        contexts = self.prompt_cache.contexts(batch)
        tokens = denoising.place_tokens(batch.tokens, self.weights.mesh_plan)
        schedule = [
            (until, self.with_channels(x, tokens)) for until, x in window.extras
        ]
        stack = self.weights.mesh_plan.put(
            solvers.begin(self.start(window, batch.tokens), self.table),
            *denoising.STACK,
        )
        past = [sum(i >= round(t * steps) for t, _ in schedule) for i in range(steps)]
        held = [*(each for _, each in schedule), tokens]
        experts = [self.expert(time) for time in self.table.times]
        cache = self.step_cache([(experts[i][0], past[i]) for i in range(steps)])
        for i in self.progress(range(steps), "step"):
            name, guidance = experts[i]
            step = partial(cache.step, i) if cache else denoising.denoise_step
            stack = step(
                self.prompt_cache.network(name, batch, contexts),
                stack,
                held[past[i]],
                contexts,
                jnp.float32(self.table.times[i]),
                jnp.asarray(self.table.matrices[i], jnp.float32),
                jnp.float32(guidance),
                fresh=self.fresh_noise(window, batch.tokens, i),
                is_guided=self.is_guided,
            )
            jax.block_until_ready(stack)
        self.prompt_cache.release_network()
        target_mask = batch.tokens.target_mask[:videos, :, None]
        rows = jnp.where(target_mask, sharding.fetch(stack[0]), batch.tokens.x[:videos])
        grid, patch = self.grid(window), self.config.dit.patch
        count = math.prod(grid)
        latents = jnp.stack([unpatchify(row[:count], grid, patch) for row in rows])
        return latents[:, window.references :]

    def step_cache(self, phases: Sequence[Hashable]) -> ResidualCache | None:
        """Return what is reused between steps, if asked for (see `plan_skips`)."""
        if self.request.settings.cache == "none":
            return None
        settings = self.request.settings
        return ResidualCache(plan_skips(settings, self.table.times, phases))

    def grid(self, window: Window) -> tuple[int, int, int]:
        """Return the patches of a window along (t, h, w)."""
        frames = window.references + window.frames
        shape = (frames, *self.request.latent_shape(self.config)[1:])
        return grid_of(shape, self.config.dit.patch)

    def expert(self, time: float) -> tuple[str, float]:
        """Return the name of the transformer at a time, and its guidance."""
        boundary, settings = self.config.boundary, self.request.settings
        name = self.weights.family.transformer_at(self.config, time)
        low = settings.guidance_low
        if low is not None and boundary is not None and time < boundary:
            return name, low
        return name, settings.guidance

    def start(self, window: Window, tokens: Tokens) -> Float[Array, "b n p"]:
        """Draw the initial latents: noise, mixed with the source if there is one."""
        request, patch = self.request, self.config.dit.patch
        count = math.prod(self.grid(window))
        padding = ((0, 0), (0, tokens.x.shape[1] - count), (0, 0))
        if request.noise is None:
            shape = (count, tokens.x.shape[2])
            noise = denoising.draw_noise(request, window.number, shape)
        else:
            given = jnp.asarray(request.noise)
            noise = jnp.stack([patchify(latents, patch) for latents in given])
        has_source = window.source is not None and request.strength < 1
        if has_source or request.settings.sigmas:
            # Explicit levels may begin below pure noise.
            noise = float(self.table.sigmas[0]) * noise
        if has_source:
            source = jnp.asarray(patchify(window.source, patch))[None]
            noise = (1 - float(self.table.sigmas[0])) * source + noise
        return jnp.pad(noise, padding)

    def fresh_noise(
        self, window: Window, tokens: Tokens, step: int
    ) -> tuple[Array, Array] | None:
        """Draw what a stochastic solver adds at a step: weights, and noise."""
        if not self.table.is_stochastic:
            return None
        count = math.prod(self.grid(window))
        padding = ((0, 0), (0, tokens.x.shape[1] - count), (0, 0))
        shape = (count, tokens.x.shape[2])
        noise = denoising.draw_noise(self.request, window.number, shape, step)
        noise = self.weights.mesh_plan.put(jnp.pad(noise, padding), *denoising.TOKEN)
        return jnp.asarray(self.table.noise[step], jnp.float32), noise

    def rows(self, window: Window) -> Batch:
        """Build a row for each video and, with guidance, one for each without prompt.

        Rows are padded to a multiple of the devices that share them.
        """
        grid, patch = self.grid(window), self.config.dit.patch
        count, per_frame = math.prod(grid), grid[1] * grid[2]
        room = self.weights.mesh_plan.round_up(count, "tokens")
        fps, settings = self.config.fps, self.request.settings
        coords = coordinates(
            grid,
            start=1.0 if window.is_mid_clip else 0.0,
            rate=1.0 if fps is None else fps / settings.fps,
        )
        starts = np.array([start for start, _ in window.story])
        at = np.maximum(np.arange(grid[0]) - window.references, 0)
        stretch = np.searchsorted(starts, at, side="right") - 1
        encode, pad_to = self.weights.tokenizer.encode, self.config.text.pad_to
        prompts, negative = self.request.prompts, settings.negative_prompt
        told = [[text or prompt for _, text in window.story] for prompt in prompts]
        untold = [[negative] * len(starts)] * len(prompts) * self.is_guided
        rows = []
        for number, texts in enumerate(told + untold):
            x = np.zeros((count, self.config.dit.patch_features), np.float32)
            clean = np.zeros(count, bool)
            if window.prefix is not None:
                given = np.asarray(window.prefix[number % len(prompts)])
                given = patchify(given, patch)
                x[: len(given)], clean[: len(given)] = given, True
            sample = Sample(
                x=x,
                extra=np.zeros((count, self.config.dit.extra_features), np.float32),
                coords=coords,
                clean=clean,
                captions=np.stack([encode(text, pad_to) for text in texts]),
                caption_ids=np.repeat(stretch, per_frame).astype(np.int32),
            )
            row = pack_row([sample], room, self.captions, pad_to)
            if window.pictures is not None:
                row = with_pictures(row, window.pictures[number % len(prompts)])
            rows.append(row)
        return join(rows)

    def with_channels(
        self, channels: Float[np.ndarray, "b t h w q"], tokens: Tokens
    ) -> Tokens:
        """Set the conditioning channels of all rows, or those of the control branch."""
        rows = [patchify(each, self.config.dit.patch) for each in channels]
        rows = np.stack(rows * (len(tokens.x) // len(rows)))
        padding = ((0, 0), (0, tokens.x.shape[1] - rows.shape[1]), (0, 0))
        padded = np.pad(rows, padding)
        placed = self.weights.mesh_plan.put(padded, *denoising.TOKEN)
        if self.config.conditioning != "control":
            return dataclasses.replace(tokens, extra=placed)
        blocks = len(self.config.dit.control_layers)
        scale = np.full((len(rows), blocks), self.request.guide.scale, np.float32)
        scale = self.weights.mesh_plan.put(scale, "batch", None)
        return dataclasses.replace(tokens, control=placed, control_scale=scale)

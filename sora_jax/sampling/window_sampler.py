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
from jaxtyping import Array, Float, Int

from sora_jax import sharding
from sora_jax.data.patches import grid_of, patchify, unpatchify
from sora_jax.diffusion import solvers
from sora_jax.diffusion.solvers import Table
from sora_jax.models.dit_cache import empty_cache
from sora_jax.nn.kv_cache import KVCache
from sora_jax.sampling import denoising
from sora_jax.sampling.cached_steps import ResidualCache
from sora_jax.sampling.magcache import plan_skips
from sora_jax.sampling.prompt_cache import PromptCache
from sora_jax.sampling.request import Request
from sora_jax.sampling.window_rows import Window, window_rows
from sora_jax.types import AnyArray, Batch, Tokens
from sora_jax.weights.model_weights import Weights

# Wraps a range to show progress in a unit, as in (range, unit) -> range.
Progress = Callable[[Sequence[int], str], Iterable[int]]


def no_progress(numbers: Sequence[int], unit: str) -> Iterable[int]:
    """Show no progress."""
    del unit
    return numbers


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

    def sample(
        self, window: Window, cache: KVCache | None = None
    ) -> Float[Array, "b t h w z"]:
        """Sample the latents of a window.

        The text encoder runs first, then the transformer (or two), so that they need
        not fit into memory together.

        Args:
          window: the window.
          cache: of the blocks before it, if it is a block of a causal model.
        """
        steps, videos = len(self.table.sigmas), len(self.request.prompts)
        if window.source is not None and steps == 0:
            return jnp.stack([jnp.asarray(window.source)] * videos)
        batch = self.rows(window)
        start = self.start(window, batch.tokens)
        return self.denoise(window, batch, start, self.table, cache=cache)

    def denoise(
        self,
        window: Window,
        batch: Batch,
        start: Float[Array, "b n p"],
        table: Table,
        *,
        projects: bool = False,
        cache: KVCache | None = None,
    ) -> Float[Array, "b t h w z"]:
        """Take the steps of a solver's table from initial latents.

        Args:
          window: whose latents they are.
          batch: its rows.
          start: the initial latents, as tokens of the rows.
          table: of the solver.
          projects: whether guidance is that of CFG-Zero*.
          cache: see `sample`.
        """
        steps, videos = len(table.sigmas), len(self.request.prompts)
        contexts = self.prompt_cache.contexts(batch)
        tokens = denoising.place_tokens(batch.tokens, self.weights.mesh_plan)
        schedule = [
            (until, self.with_channels(x, tokens)) for until, x in window.extras
        ]
        stack = self.weights.mesh_plan.put(
            solvers.begin(start, table),
            *denoising.STACK,
        )
        past = [sum(i >= round(t * steps) for t, _ in schedule) for i in range(steps)]
        held = [*(each for _, each in schedule), tokens]
        experts = [self.expert(time) for time in table.times]
        reused = self.step_cache([(experts[i][0], past[i]) for i in range(steps)])
        for i in self.progress(range(steps), "step"):
            name, guidance = experts[i]
            step = partial(denoising.denoise_step, projects=projects)
            step = partial(reused.step, i) if reused else step
            network = self.prompt_cache.network(name, batch, contexts)
            stack = step(
                network._replace(cache=cache),
                stack,
                held[past[i]],
                contexts,
                jnp.float32(table.times[i]),
                jnp.asarray(table.matrices[i], jnp.float32),
                jnp.float32(guidance),
                fresh=self.fresh_noise(window, batch.tokens, i, table),
                is_guided=self.is_guided,
            )
            jax.block_until_ready(stack)
        if cache is None:
            self.prompt_cache.release_network()
        target_mask = batch.tokens.target_mask[:videos, :, None]
        rows = jnp.where(target_mask, sharding.fetch(stack[0]), batch.tokens.x[:videos])
        grid, patch = self.grid(window), self.config.dit.patch
        here = slice(window.before, window.before + math.prod(grid))
        latents = jnp.stack([unpatchify(row[here], grid, patch) for row in rows])
        return latents[:, window.references :]

    def empty_cache(self, frames: int) -> KVCache:
        """Return a cache with room for the tokens of some latent frames."""
        _, rows, columns = self.grid(Window(frames=1))
        videos = len(self.request.prompts) * (1 + self.is_guided)
        mesh_plan = self.weights.mesh_plan
        dit = self.weights.networks[self.weights.family.transformer]
        return empty_cache(dit, videos, frames * rows * columns, mesh_plan)

    def remember(
        self,
        window: Window,
        latents: Float[AnyArray, "b t h w z"],
        cache: KVCache,
        slots: Int[np.ndarray, " s"],
    ) -> KVCache:
        """Put the latents of a block into the cache, which is consumed.

        Args:
          window: the block.
          latents: its clean latents.
          cache: of the blocks before it.
          slots: of its frames, as many as it has room for; -1 for those it lacks.
        """
        batch = self.rows(window)
        contexts = self.prompt_cache.contexts(batch)
        rows = [patchify(each, self.config.dit.patch) for each in np.asarray(latents)]
        count, room = len(rows[0]), batch.tokens.x.shape[1]
        x = np.pad(np.stack(rows), ((0, 0), (0, room - count), (0, 0)))
        x = np.concatenate([x] * (1 + self.is_guided))
        held = dataclasses.replace(batch.tokens, x=x)
        network = self.prompt_cache.network(
            self.weights.family.transformer, batch, contexts
        )
        return denoising.remember(
            network._replace(cache=cache),
            denoising.place_tokens(held, self.weights.mesh_plan),
            contexts,
            jnp.asarray(slots, jnp.int32),
            math.prod(self.grid(window)[1:]),
        )

    def step_cache(self, phases: Sequence[Hashable]) -> ResidualCache | None:
        """Return what is reused between steps, if asked for (see `plan_skips`)."""
        if self.request.settings.cache == "none":
            return None
        settings = self.request.settings
        return ResidualCache(plan_skips(settings, self.table.times, phases))

    def grid(self, window: Window) -> tuple[int, int, int]:
        """Return the patches of a window along (t, h, w)."""
        frames = window.references + window.frames
        cells = window.cells or self.request.latent_shape(self.config)[1:3]
        return grid_of((frames, *cells), self.config.dit.patch)

    def pad(
        self, x: Float[Array, "b m p"], window: Window, tokens: Tokens
    ) -> Float[Array, "b n p"]:
        """Pad the tokens of a window to rows."""
        rest = tokens.x.shape[1] - window.before - x.shape[1]
        return jnp.pad(x, ((0, 0), (window.before, rest), (0, 0)))

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
        noise = request.noise if window.noise is None else window.noise
        if noise is None:
            shape = (count, tokens.x.shape[2])
            noise = denoising.draw_noise(request, window.number, shape)
        else:
            given = jnp.asarray(noise)
            noise = jnp.stack([patchify(latents, patch) for latents in given])
        has_source = window.source is not None and request.strength < 1
        if has_source or request.settings.sigmas:
            # Explicit levels may begin below pure noise.
            noise = float(self.table.sigmas[0]) * noise
        if has_source:
            source = jnp.asarray(patchify(window.source, patch))[None]
            noise = (1 - float(self.table.sigmas[0])) * source + noise
        return self.pad(noise, window, tokens)

    def fresh_noise(
        self, window: Window, tokens: Tokens, step: int, table: Table
    ) -> tuple[Array, Array] | None:
        """Draw what a stochastic solver adds at a step: weights, and noise."""
        if not table.is_stochastic:
            return None
        shape = (math.prod(self.grid(window)), tokens.x.shape[2])
        noise = denoising.draw_noise(self.request, window.number, shape, step)
        noise = self.pad(noise, window, tokens)
        noise = self.weights.mesh_plan.put(noise, *denoising.TOKEN)
        return jnp.asarray(table.noise[step], jnp.float32), noise

    def rows(self, window: Window) -> Batch:
        """Build the rows of a window; see `window_rows`."""
        return window_rows(
            window,
            self.grid(window),
            self.request,
            self.weights,
            is_guided=self.is_guided,
            captions=self.captions,
        )

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

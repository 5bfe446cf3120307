"""Sample a video chunk by chunk, each from the latents before it (Helios).

The history of a chunk is a fixed number of latent frames, so that memory does not grow
with the video; each chunk is decoded by itself, as soon as it is sampled.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from sora_jax.config import ChunksConfig
from sora_jax.data.patches import patchify
from sora_jax.diffusion import stages
from sora_jax.sampling import denoising
from sora_jax.sampling.chunk_beginning import Past, past_of
from sora_jax.sampling.chunk_history import history_of
from sora_jax.sampling.decoding import Frames, decode_video, window_numbers
from sora_jax.sampling.prompt_cache import PromptCache
from sora_jax.sampling.request import Request
from sora_jax.sampling.stories import LatentSpan, most_stretches, window_story
from sora_jax.sampling.window_rows import Window
from sora_jax.sampling.window_sampler import Progress, WindowSampler
from sora_jax.weights.model_weights import Weights

Latents, Finer = Float[Array, "b t h w z"], Float[Array, "b t h2 w2 z"]
IDLE = 2  # steps without velocity at the beginning, with CFG-Zero*


def sample_chunks(
    weights: Weights, prompt_cache: PromptCache, request: Request, progress: Progress
) -> Iterator[Frames]:
    """Sample the chunks of a request, and yield the frames of each in order."""
    config = weights.config
    assert config.chunks is not None
    size = config.chunks.frames
    spans = [
        LatentSpan(size * number, size * (number + 1), 0)
        for number in range(request.chunk_count(config))
    ]
    captions = most_stretches(request, spans, config)
    sampler = ChunkSampler(
        WindowSampler(weights, prompt_cache, request, progress, captions), config.chunks
    )
    past, left = past_of(weights, request), request.settings.frames
    for number in window_numbers(spans, progress):
        story = window_story(request, spans[number], config)
        latents = sampler.sample(number, past, story)
        past = past.followed_by(np.asarray(latents))
        for frames in decode_video(weights, latents, request, progress):
            if left:
                yield frames[:, :left]
            left = max(0, left - frames.shape[1])


class ChunkSampler:
    """Samples chunks, in one stage or in several of growing resolution."""

    def __init__(self, sampler: WindowSampler, chunks: ChunksConfig):
        self.sampler, self.chunks = sampler, chunks
        self.request, self.config = sampler.request, sampler.config

    def sample(
        self, number: int, past: Past, story: tuple[tuple[int, str | None], ...]
    ) -> Latents:
        """Sample the latents of a chunk.

        Args:
          number: of the chunk; each has its own noise.
          past: latents before it.
          story: its prompts (see `Window.story`).
        """
        chunks, patch = self.chunks, self.config.dit.patch
        history = history_of(past.latents(chunks), chunks, patch)
        x = self.noise(number)
        for _ in range(chunks.stages - 1):
            x = stages.coarsened(x)
        several = stages.stages_of(chunks.stages, chunks.gamma)
        for index, stage in enumerate(several):
            # The publishers' levels of a stage are those of the size before it.
            table = self.table(number, index, stage, x.shape[1:4])
            if index:
                x = self.finer(number, index, x, stage)
            window = Window(
                number=number,
                frames=chunks.frames,
                cells=(x.shape[2], x.shape[3]),
                history=history,
                time=float(int(chunks.keeps_first) + chunks.history),
                story=story,
            )
            batch = self.sampler.rows(window)
            rows = jnp.stack([patchify(each, patch) for each in x])
            x = self.sampler.denoise(
                window,
                batch,
                self.sampler.pad(rows, window, batch.tokens),
                table,
                projects=chunks.zero_star,
            )
        return x

    def table(
        self, number: int, index: int, stage: stages.Stage, cells: tuple[int, ...]
    ) -> stages.Table:
        """Return the solver's table of a stage; its shift grows with latent cells."""
        settings, chunks = self.request.settings, self.chunks
        tokens = math.prod(cells) // math.prod(self.config.dit.patch)
        twice = chunks.doubles_first and number == 0
        is_idle = chunks.zero_star and index == 0 and self.sampler.is_guided
        return stages.stage_table(
            settings.solver,
            settings.steps * (2 if twice else 1),
            settings.shift * stages.grown_shift(chunks.grows, tokens),
            stage if chunks.stages > 1 else None,
            IDLE if is_idle else 0,
        )

    def noise(self, number: int) -> Latents:
        """Draw the noise of a chunk, or take it from the request."""
        t, size = self.request.latent_shape(self.config), self.chunks.frames
        if self.request.noise is not None:
            return jnp.asarray(self.request.noise[:, number * size :][:, :size])
        return denoising.draw_noise(self.request, number, (size, *t[1:]))

    def finer(self, number: int, index: int, x: Latents, stage: stages.Stage) -> Finer:
        """Begin a stage: enlarge the latents, and add noise to them."""
        x, patch = stages.enlarged(x), self.config.dit.patch
        noise = denoising.draw_noise(self.request, number, x.shape[1:], index)
        noise = stages.correlated(noise, self.chunks.gamma, (patch[1], patch[2]))
        return stage.enlarged * x + stage.noise * noise

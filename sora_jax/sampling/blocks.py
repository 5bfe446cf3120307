"""Sample a video block by block with a causal model; frames leave as they are made.

Each block of latent frames is denoised beside the keys and values of those before it;
one more pass over its clean latents writes its own (Self-Forcing, arXiv 2506.08009,
algorithm 2). Given frames are only written. One compiled step serves every block, since
the cache has a fixed number of slots.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from sora_jax.sampling import codec, condition_encoding
from sora_jax.sampling.block_plan import BlockPlan
from sora_jax.sampling.decoding import Frames, decode_video, tile_of
from sora_jax.sampling.prompt_cache import PromptCache
from sora_jax.sampling.request import Request
from sora_jax.sampling.stories import stretches_of
from sora_jax.sampling.window_rows import Window, time_rate
from sora_jax.sampling.window_sampler import Progress, WindowSampler
from sora_jax.sampling.windows import keep_given
from sora_jax.weights.model_weights import Weights

Latents = Float[np.ndarray, "_ _ _ _ z"]  # [b t h w z]


def sample_blocks(
    weights: Weights, prompt_cache: PromptCache, request: Request, progress: Progress
) -> Iterator[Frames]:
    """Sample the frames of a request and yield them in order, as they are made."""
    sampler = WindowSampler(
        *(weights, prompt_cache, request, progress), captions=1 + len(request.story)
    )
    start = 0
    for chunk in decode_blocks(sampler):
        yield keep_given(chunk, request.condition, start)
        start += chunk.shape[1]


def decode_blocks(sampler: WindowSampler) -> Iterator[Frames]:
    """Decode each block as soon as it is made.

    Frames in tiles, and networks that do not fit into memory together, wait for the end
    of the video.
    """
    weights, request = sampler.weights, sampler.request
    if tile_of(weights, request) or not weights.networks.keep:
        latents = np.concatenate(list(latent_blocks(sampler)), axis=1)
        yield from decode_video(weights, latents, request, sampler.progress)
        return
    model, done = weights.config, 0
    assert model.causal is not None
    decoder = codec.StreamDecoder(
        *(weights.vae, request.settings.size, model.causal.block, weights.mesh_plan)
    )
    for latents in latent_blocks(sampler):
        done += latents.shape[1]
        is_last = done == request.latent_shape(model)[0]
        yield from decoder.decode(latents, is_last=is_last)


def latent_blocks(sampler: WindowSampler) -> Iterator[Latents]:
    """Yield the latents of each block as soon as they are clean."""
    request, plan = sampler.request, BlockPlan(sampler.request, sampler.config)
    frames = request.latent_shape(sampler.config)[0]
    prefix, source = given_prefix(sampler), given_source(sampler)
    cache = sampler.empty_cache(plan.slots) if plan.slots else None
    for number in sampler.progress(range(len(plan.spans)), "block"):
        start, stop = plan.spans[number]
        window = block_window(sampler, number, (start, stop), prefix, source)
        given = window.prefix
        if given is not None and given.shape[1] == stop - start:
            latents = np.asarray(given)
        else:
            latents = np.asarray(sampler.sample(window, cache))
        yield latents[:, : frames - start]
        if cache is not None and number < len(plan.spans) - 1:
            slots = plan.slots_of(number)
            cache = sampler.remember(window, latents, cache, slots)
    sampler.prompt_cache.release_network()


def block_window(
    sampler: WindowSampler,
    number: int,
    span: tuple[int, int],
    prefix: Latents | None,
    source: Float[np.ndarray, "_ h w z"] | None,
) -> Window:
    """Return a block as a window of its own, in the rows of the longest block.

    Args:
      sampler: of the request.
      number: of the block.
      span: its latent frames (start, stop).
      prefix: the given latents of the whole video.
      source: the latents from which all of it is denoised.
    """
    request, model, (start, stop) = sampler.request, sampler.config, span
    assert model.causal is not None
    noise = request.noise
    if noise is not None:
        noise = with_noise(noise[:, start:stop], stop - start, request.seed)
    if source is not None:
        source = codec.pad_with_last_frame(source[None, start:stop], stop - start)[0]
    has_given = prefix is not None and start < prefix.shape[1]
    return Window(
        number=number,
        frames=stop - start,
        room=model.causal.block,
        time=start * time_rate(request, model.fps),
        prefix=prefix[:, start:stop] if prefix is not None and has_given else None,
        source=source,
        noise=noise,
        story=tuple(
            (at - start, text) for at, text in stretches_of(request, sampler.config)
        ),
    )


def with_noise(noise: Latents, frames: int, seed: int) -> Latents:
    """Add frames of noise to given ones, where the last block goes beyond the end."""
    shape = (len(noise), frames - noise.shape[1], *noise.shape[2:])
    drawn = np.random.default_rng(seed).standard_normal(shape, np.float32)
    return np.concatenate([noise, drawn], axis=1)


def given_prefix(sampler: WindowSampler) -> Latents | None:
    """Encode the given frames of all videos, if there are any."""
    request, weights = sampler.request, sampler.weights
    if request.condition is None or not np.asarray(request.condition.mask).any():
        return None
    conditions = [request.condition] * len(request.prompts)
    given = condition_encoding.encode_prefix(weights.vae, conditions, weights.mesh_plan)
    return np.asarray(given)


def given_source(sampler: WindowSampler) -> Float[np.ndarray, "_ h w z"] | None:
    """Encode the frames that denoising starts from, if there are any."""
    source, weights = sampler.request.source, sampler.weights
    if source is None:
        return None
    return np.asarray(codec.encode(weights.vae, source[None], weights.mesh_plan)[0])

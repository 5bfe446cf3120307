"""Sample a whole video window by window, in latents or through pixels.

A video that fits one window is one run of the solver. In a longer one, each window
continues the one before:

* in latents, if the model was trained on mid-clip crops: the windows form one stream
  of latents, which is decoded once;
* through pixels otherwise, and if pixels are given after the first window: the decoded
  frames condition the next window like any given pixels.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from sora_jax.config import ModelConfig
from sora_jax.diffusion import conditioning
from sora_jax.sampling import codec, condition_encoding
from sora_jax.sampling.chunk_sampler import sample_chunks
from sora_jax.sampling.decoding import Frames, decode_video, window_numbers
from sora_jax.sampling.prompt_cache import PromptCache
from sora_jax.sampling.request import Request
from sora_jax.sampling.stories import LatentSpan, most_stretches, window_story
from sora_jax.sampling.window_rows import Window
from sora_jax.sampling.window_sampler import Progress, WindowSampler
from sora_jax.types import Condition
from sora_jax.weights.model_weights import Weights


def split_into_windows(frames: int, window: int, context: int) -> list[LatentSpan]:
    """Split latent frames into windows of equal length that overlap."""
    if frames <= window:
        return [LatentSpan(0, frames, 0)]
    found, done = [LatentSpan(0, window, 0)], window
    while done < frames:
        stop = min(frames, done + window - context)
        found.append(LatentSpan(stop - window, stop, done - (stop - window)))
        done = stop
    return found


def plan_windows(request: Request, model: ModelConfig) -> list[LatentSpan]:
    """Return the windows of a request."""
    factor = model.vae.time_factor
    window = 1 + (request.window(model) - 1) // factor
    context = 1 + (request.settings.context - 1) // factor
    frames = request.latent_shape(model)[0]
    return split_into_windows(frames, window, max(1, min(context, window - 1)))


def sample_request(
    weights: Weights, prompt_cache: PromptCache, request: Request, progress: Progress
) -> Iterator[Frames]:
    """Sample the frames of a request and yield them in order, chunk by chunk."""
    if weights.config.chunks is not None:
        yield from sample_chunks(weights, prompt_cache, request, progress)
        return
    windows = plan_windows(request, weights.config)
    sampler = WindowSampler(
        weights,
        prompt_cache,
        request,
        progress,
        captions=most_stretches(request, windows, weights.config),
    )
    if len(windows) > 1 and not continues_in_latents(request, weights.config):
        yield from sample_through_pixels(sampler, windows)
        return
    start = 0
    for chunk in sample_in_latents(sampler, windows):
        yield keep_given(chunk, request.condition, start)
        start += chunk.shape[1]


def continues_in_latents(request: Request, model: ModelConfig) -> bool:
    """Return whether later windows need only the latents of earlier ones."""
    later = request.window(model)
    condition = request.condition
    return model.mid_clip and (
        condition is None or not np.asarray(condition.mask)[later:].any()
    )


def sample_in_latents(
    sampler: WindowSampler, windows: list[LatentSpan]
) -> Iterator[Frames]:
    """Sample windows that form one stream of latents, and decode it once."""
    weights, request = sampler.weights, sampler.request
    videos = len(request.prompts)
    frames = request.window(weights.config)
    schedule = [
        (until, [crop_condition(condition, 0, frames, request.settings.size)] * videos)
        for until, condition in request.schedule(weights.config)
    ]
    guide = request.guide
    prefix, extras = condition_encoding.encode_conditions(weights, schedule, guide)
    pictures = condition_encoding.picture_inputs(
        weights.config, schedule[-1][1] if schedule else (), request.pictures
    )
    source = None
    if request.source is not None:
        source = codec.encode(weights.vae, request.source[None], weights.mesh_plan)[0]
        source = condition_encoding.with_references(weights, source, request)
    # On the host: on the device, each length would compile.
    sampled: list[np.ndarray] = []
    for number in window_numbers(windows, sampler.progress):
        start, stop, before = windows[number]
        if sampled:
            prefix, extras = np.concatenate(sampled, axis=1)[:, start:], ()
        window = Window(
            number=number,
            frames=stop - start,
            references=len(guide.references),
            prefix=prefix,
            time=1.0 if start > 0 else 0.0,
            extras=extras,
            pictures=pictures,
            source=None if source is None else source[start:stop],
            story=window_story(request, windows[number], weights.config),
        )
        sampled.append(np.asarray(sampler.sample(window))[:, before:])
    latents = np.concatenate(sampled, axis=1)
    yield from decode_video(weights, latents, request, sampler.progress)


def sample_through_pixels(
    sampler: WindowSampler, windows: list[LatentSpan]
) -> Iterator[Frames]:
    """Sample windows conditioned on the decoded frames before them."""
    weights, request = sampler.weights, sampler.request
    videos = len(request.prompts)
    factor = weights.config.vae.time_factor
    last: Frames | None = None
    for number in window_numbers(windows, sampler.progress):
        start, stop, before = windows[number]
        first, frames = factor * start, 1 + factor * (stop - start - 1)
        given = crop_condition(request.condition, first, frames, request.settings.size)
        overlap = 1 + factor * (before - 1) if before else 0
        conditions = [given] * videos
        if last is not None:
            conditions = [
                with_previous_frames(given, shown[-overlap:]) for shown in last
            ]
        is_given = any(np.asarray(c.mask).any() for c in conditions)
        always = weights.config.conditioning == "control"
        schedule = [(1.0, conditions)] if is_given or always else []
        guide = request.guide.crop(first, frames)
        prefix, extras = condition_encoding.encode_conditions(weights, schedule, guide)
        source = None
        if request.source is not None:
            clip = request.source[first : first + frames]
            source = codec.encode(weights.vae, clip[None], weights.mesh_plan)[0]
            source = condition_encoding.with_references(weights, source, request)
        window = Window(
            number=number,
            frames=stop - start,
            references=len(guide.references),
            prefix=prefix,
            extras=extras,
            pictures=condition_encoding.picture_inputs(
                weights.config,
                conditions if is_given else (),
                () if last is not None else request.pictures[:1],
            ),
            source=source,
            story=window_story(request, windows[number], weights.config),
        )
        # Sampling has to end before the VAE replaces the transformer in memory.
        latents = sampler.sample(window)
        chunks = list(decode_video(weights, latents, request, sampler.progress))
        last = keep_given(np.concatenate(chunks, axis=1), request.condition, first)
        yield last[:, overlap:]


def crop_condition(
    condition: Condition | None, start: int, frames: int, size: tuple[int, int]
) -> Condition:
    """Crop a condition to some frames; pixels beyond its end are not given."""
    mask = conditioning.empty_mask(frames, size[0], size[1])
    pixels = np.zeros((*mask.shape, 3), np.float32)
    if condition is not None:
        here = slice(start, start + frames)
        found = len(condition.mask[here])
        mask[:found], pixels[:found] = condition.mask[here], condition.pixels[here]
    return Condition(pixels=pixels, mask=mask)


def with_previous_frames(
    condition: Condition, before: Float[np.ndarray, "t h w 3"]
) -> Condition:
    """Add the previous window's frames to a condition, as its first frames."""
    pixels, mask = np.array(condition.pixels), np.array(condition.mask)
    pixels[: len(before)], mask[: len(before)] = before, 1
    return Condition(pixels=pixels, mask=mask)


def keep_given(frames: Frames, condition: Condition | None, start: int) -> Frames:
    """Overwrite frames, which begin at frame `start`, with the given pixels."""
    if condition is None:
        return frames
    given = crop_condition(condition, start, frames.shape[1], frames.shape[2:4])
    return np.where(given.mask[..., None] > 0, given.pixels, frames)

"""Which prompt applies to which latent frames of a window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sora_jax.config import ModelConfig
from sora_jax.sampling.request import Request


class LatentSpan(NamedTuple):
    """Latent frames [start, stop) of a window; it reuses the first `before`."""

    start: int
    stop: int
    before: int


def most_stretches(
    request: Request, windows: Sequence[LatentSpan], model: ModelConfig
) -> int:
    """Return the largest number of stretches in a window, so that one program fits."""
    return max(len(window_story(request, span, model)) for span in windows)


def window_story(
    request: Request, span: LatentSpan, model: ModelConfig
) -> tuple[tuple[int, str | None], ...]:
    """Return (latent frame, prompt) of the stretches of time in a window."""
    stretches = stretches_of(request, model)
    begun = [text for at, text in stretches if at <= span.start]
    later = [(at, text) for at, text in stretches if span.start < at < span.stop]
    return (0, begun[-1]), *((at - span.start, text) for at, text in later)


def stretches_of(request: Request, model: ModelConfig) -> list[tuple[int, str | None]]:
    """Return (latent frame, prompt) of the stretches of time of a video."""
    return [(0, None), *((latent_of(at, model), text) for at, text in request.story)]


def latent_of(frame: int, model: ModelConfig) -> int:
    """Return the latent frame that begins at a frame, or the next one.

    As in training: with the time factor r, frame 1 + r k starts latent 1 + k, of the
    video or of a chunk.
    """
    factor, chunks = model.vae.time_factor, model.chunks
    if chunks is None:
        return -(-frame // factor)
    number, rest = divmod(frame, chunks.pixel_frames(factor))
    return number * chunks.frames + -(-rest // factor)

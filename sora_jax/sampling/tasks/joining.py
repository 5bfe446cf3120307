"""New footage after a clip, before it, and between two: whole frames are known.

A loop is a clip connected to itself. Clips are `[t h w 3]` in [-1, 1].
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from sora_jax.sampling.parts import Canvas, Clip, Part, Then
from sora_jax.sampling.tasks.brief import Brief, known_frames

Direction = Literal["forward", "backward", "both"]


def extend(
    brief: Brief, clip: Clip, frames: int, direction: Direction = "forward"
) -> list[Part]:
    """A clip with new frames after it, before it, or both."""
    before = backward(brief, clip, frames) if direction != "forward" else []
    after = [forward(brief, clip, frames)] if direction != "backward" else []
    return [*before, clip, *after]


def forward(brief: Brief, clip: Clip, frames: int) -> Canvas:
    """The new frames after a clip."""
    factor = brief.model.vae.time_factor
    longest = min(len(clip), brief.settings.context)
    known = 1 + (longest - 1) // factor * factor
    total = brief.whole(known + frames)
    pixels = np.zeros((total, *clip.shape[1:]), np.float32)
    pixels[:known] = clip[-known:]
    request = brief.request(total, condition=known_frames(pixels, list(range(known))))
    return Canvas(request=request, start=known, stop=known + frames)


def backward(brief: Brief, clip: Clip, frames: int) -> list[Part]:
    """The new frames before a clip, those next to it made first."""
    room = brief.window - brief.settings.context
    count = min(frames, max(1, room))
    known = min(len(clip), brief.settings.context)
    total = brief.whole(count + known)
    pixels = np.zeros((total, *clip.shape[1:]), np.float32)
    # Where the clip is too short, its last frame stands still beyond it.
    shown = np.minimum(np.arange(total - count), len(clip) - 1)
    pixels[count:] = clip[shown]
    request = brief.request(
        total, condition=known_frames(pixels, list(range(count, total)))
    )
    canvas = Canvas(request=request, stop=count)
    if count == frames:
        return [canvas]
    return [
        Then(
            canvas=canvas,
            parts=lambda made: [*backward(brief, made, frames - count), made],
        )
    ]


def connect(brief: Brief, first: Clip, second: Clip, frames: int) -> list[Part]:
    """Two clips with a transition between them."""
    return [first, between(brief, first, second, frames), second]


def loop(brief: Brief, clip: Clip, frames: int) -> list[Part]:
    """A clip whose end flows into its beginning, connected to itself."""
    return [clip, between(brief, clip, clip, frames)]


def loop_from_prompt(brief: Brief, frames: int) -> list[Part]:
    """A video whose last frame flows into its first: half of it closes the loop."""
    opening = max(1, brief.whole(frames // 2))
    request = brief.request(opening)
    return [
        Then(
            canvas=Canvas(request=request, stop=opening),
            parts=lambda made: loop(brief, made, frames - opening),
        )
    ]


def between(brief: Brief, first: Clip, second: Clip, frames: int) -> Canvas:
    """The transition between two clips."""
    context = brief.settings.context
    before, after = min(len(first), context), min(len(second), context)
    total = brief.whole(before + frames + after)
    # What is too much for the VAE's units is known rather than made; where a clip is
    # too short, its far end stands still beyond it.
    before = total - frames - after
    shown = np.maximum(np.arange(-before, 0) + len(first), 0)
    pixels = np.zeros((total, *first.shape[1:]), np.float32)
    pixels[:before], pixels[total - after :] = first[shown], second[:after]
    known = [*range(before), *range(total - after, total)]
    request = brief.request(total, condition=known_frames(pixels, known))
    return Canvas(request=request, start=before, stop=before + frames)

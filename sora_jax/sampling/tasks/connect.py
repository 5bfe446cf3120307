"""New footage after a clip, before it, and between two: whole frames are known.

A loop is a clip connected to itself. Clips are `[t h w 3]` in [-1, 1].
"""

from __future__ import annotations

from typing import get_args

import numpy as np

from sora_jax.config import Direction
from sora_jax.sampling.segments import Canvas, Clip, Part, Then
from sora_jax.sampling.tasks.context import (
    Brief,
    check_clips,
    check_new,
    known_frames,
)


def extend(
    brief: Brief, clip: Clip, frames: int, direction: Direction = "forward"
) -> list[Part]:
    """A clip with new frames after it, before it, or both."""
    check_clips(clip)
    check_new(brief, frames)
    if direction not in get_args(Direction):
        raise ValueError(
            f"direction must be one of {', '.join(get_args(Direction))}, got "
            f"{direction!r}"
        )
    before = backward(brief, clip, frames) if direction != "forward" else []
    after = [forward(brief, clip, frames)] if direction != "backward" else []
    return [*before, clip, *after]


def forward(brief: Brief, clip: Clip, frames: int) -> Canvas:
    """The new frames after a clip; whole latents of it are known."""
    factor = brief.model.vae.time_factor
    known = 1 + (min(len(clip), brief.context) - 1) // factor * factor
    request = brief.request(
        brief.whole(known + frames),
        condition=known_frames(clip[-known:], list(range(known))),
    )
    return Canvas(request=request, start=known, stop=known + frames)


def backward(brief: Brief, clip: Clip, frames: int) -> list[Part]:
    """The new frames before a clip, those next to it made first.

    More are made than wanted where that lets the clip begin with a whole latent.
    """
    factor = brief.model.vae.time_factor
    known = max(1, brief.context // factor) * factor
    room = 1 + max(0, brief.window - known - 1) // factor * factor
    made = min(brief.whole(frames), room)
    shown = min(frames, made)
    pixels = brief.grey(made + known, clip.shape[1:3])
    # Where the clip is too short, its last frame stands still beyond it.
    pixels[made:] = clip[np.minimum(np.arange(known), len(clip) - 1)]
    condition = known_frames(pixels, list(range(made, made + known)))
    request = brief.request(made + known, condition=condition)
    canvas = Canvas(request=request, start=made - shown, stop=made)
    if shown == frames:
        return [canvas]

    def earlier(piece: Clip) -> list[Part]:
        after = np.concatenate([piece, clip[:known]])
        return [*backward(brief, after, frames - shown), piece]

    return [Then(canvas=canvas, parts=earlier)]


def connect(brief: Brief, first: Clip, second: Clip, frames: int) -> list[Part]:
    """Two clips with a transition between them."""
    check_clips(first, second)
    check_new(brief, frames)
    return [first, between(brief, first, second, frames), second]


def loop(brief: Brief, clip: Clip, frames: int) -> list[Part]:
    """A clip whose end flows into its beginning, connected to itself."""
    check_clips(clip)
    check_new(brief, frames)
    return [clip, between(brief, clip, clip, frames)]


def loop_from_prompt(brief: Brief, frames: int) -> list[Part]:
    """A video whose last frame flows into its first: half of it closes the loop."""
    if frames < 2:
        raise ValueError(f"frames of a loop must be >= 2, got {frames}")
    check_new(brief, frames)
    factor = brief.model.vae.time_factor
    opening = 1 + max(0, round((frames // 2 - 1) / factor)) * factor
    return [
        Then(
            canvas=Canvas(request=brief.request(opening), stop=opening),
            parts=lambda made: loop(brief, made, frames - opening),
        )
    ]


def between(brief: Brief, first: Clip, second: Clip, frames: int) -> Canvas:
    """The transition between two clips, which begins with a whole latent."""
    factor, context = brief.model.vae.time_factor, brief.context
    before = 1 + (min(len(first), context) - 1) // factor * factor
    after = min(len(second), context)
    after -= (frames + after) % factor
    if after < 1:  # a clip too short; its last frame stands still beyond it
        after += factor
    shown = np.minimum(np.arange(after), len(second) - 1)
    gap = brief.grey(frames, first.shape[1:3])
    pixels = np.concatenate([first[-before:], gap, second[shown]])
    total = len(pixels)
    known = [*range(before), *range(before + frames, total)]
    request = brief.request(total, condition=known_frames(pixels, known))
    return Canvas(request=request, start=before, stop=before + frames)

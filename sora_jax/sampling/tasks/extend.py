"""New frames after a clip, before it, or both."""

from __future__ import annotations

import dataclasses

import numpy as np

from sora_jax.sampling.segments import Clip, FollowUp, Sampled, Segment
from sora_jax.sampling.tasks.context import (
    TaskContext,
    check_clips,
    check_new_frames,
    given_frames,
)
from sora_jax.sampling.tasks.task import Count, Side, Task, Video

# Segments that depend on one another: each is a call inside the one before.
MOST_FOLLOW_UPS = 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class Extend(Task):
    """Continue a clip.

    Attributes:
      video: the clip.
      frames: new frames at each end, any number; by default one less than a window.
      direction: the end to extend.
    """

    name = "extend"
    counts = "new"

    video: Video
    frames: Count | None = None
    direction: Side = "forward"

    def segments(self, context: TaskContext) -> list[Segment]:
        """Keep the clip, and sample frames at its ends."""
        frames = context.model.sampling.frames - 1
        frames = frames if self.frames is None else self.frames
        check_new_frames(context, frames)
        clip = context.media.video(self.video)
        check_clips(clip)
        if self.direction != "forward":
            check_before(context, frames)
        before: list[Segment] = []
        after: list[Segment] = []
        if self.direction != "forward":
            before = extend_backward(context, clip, frames)
        if self.direction != "backward":
            after = [extend_forward(context, clip, frames)]
        return [*before, clip, *after]


def extend_forward(context: TaskContext, clip: Clip, frames: int) -> Sampled:
    """Sample new frames after a clip, given its last whole latents."""
    if context.model.chunks is not None:
        request = context.request(context.whole(frames), history=clip)
        return Sampled(request=request, stop=frames)
    given = context.beginning(len(clip))
    request = context.request(
        context.whole(given + frames),
        condition=given_frames(clip[-given:], list(range(given))),
    )
    return Sampled(request=request, start=given, stop=given + frames)


def check_before(context: TaskContext, frames: int) -> None:
    """Refuse more frames before a clip than can follow from one another."""
    factor = context.model.vae.time_factor
    given = max(1, context.overlap // factor) * factor
    most = MOST_FOLLOW_UPS * max(1, context.window - given)
    if frames > most:
        raise ValueError(
            f"frames must be at most {most:,} before a clip, got {frames:,}: extend in "
            "several steps"
        )


def extend_backward(context: TaskContext, clip: Clip, frames: int) -> list[Segment]:
    """Sample new frames before a clip, nearest to it first.

    A few extra frames are sampled where the clip has to begin at a whole latent.
    """
    factor = context.model.vae.time_factor
    given = max(1, context.overlap // factor) * factor
    room = 1 + max(0, context.window - given - 1) // factor * factor
    new = min(context.whole(frames), room)
    shown = min(frames, new)
    pixels = context.grey(new + given, clip.shape[1:3])
    # A clip that is too short is padded with its last frame.
    pixels[new:] = clip[np.minimum(np.arange(given), len(clip) - 1)]
    condition = given_frames(pixels, list(range(new, new + given)))
    request = context.request(new + given, condition=condition)
    sampled = Sampled(request=request, start=new - shown, stop=new)
    if shown == frames:
        return [sampled]

    def earlier(piece: Clip) -> list[Segment]:
        after = np.concatenate([piece, clip[:given]])
        return [*extend_backward(context, after, frames - shown), piece]

    return [FollowUp(sampled=sampled, segments=earlier)]

"""Transitions: between two clips, and from the end of a clip to its beginning."""

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
from sora_jax.sampling.tasks.task import Count, Task, TwoVideos, Video


@dataclasses.dataclass(frozen=True, kw_only=True)
class Connect(Task):
    """Join two clips by a transition.

    Attributes:
      video: the two clips in order.
      frames: new frames between them, any number; by default half a window. Models
        that are given the first and the last frame take 3, 7, 11 and so on.
    """

    name = "connect"
    counts = "new"

    video: TwoVideos
    frames: Count | None = None

    def segments(self, context: TaskContext) -> list[Segment]:
        """Keep the clips, and sample the frames between them."""
        frames = default_transition(context) if self.frames is None else self.frames
        check_new_frames(context, frames)
        first, second = (context.media.video(video) for video in self.video)
        check_clips(first, second)
        return [first, sample_transition(context, first, second, frames), second]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loop(Task):
    """Make a video whose last frame leads into its first.

    Attributes:
      video: the clip to loop; without one, it is generated from the prompt.
      frames: new frames from the clip's end to its beginning; without a clip, frames
        of the whole.
    """

    name = "loop"
    counts = "new"

    video: Video | None = None
    frames: Count | None = None

    @property
    def needs_prompt(self) -> bool:
        """Return whether there is no clip."""
        return self.video is None

    def segments(self, context: TaskContext) -> list[Segment]:
        """Connect the clip with itself; without a clip, sample it first."""
        if self.video is None:
            whole = context.settings.frames if self.frames is None else self.frames
            return self._from_prompt(context, whole)
        frames = default_transition(context) if self.frames is None else self.frames
        check_new_frames(context, frames)
        clip = context.media.video(self.video)
        check_clips(clip)
        return close_loop(context, clip, frames)

    def _from_prompt(self, context: TaskContext, frames: int) -> list[Segment]:
        """Sample about half of the frames freely; the others close the loop."""
        if frames < 2:
            raise ValueError(f"frames of a loop must be >= 2, got {frames}")
        check_new_frames(context, frames)
        factor = context.model.vae.time_factor
        opening = 1 + max(0, round((frames // 2 - 1) / factor)) * factor
        return [
            FollowUp(
                sampled=Sampled(request=context.request(opening), stop=opening),
                segments=lambda clip: close_loop(context, clip, frames - opening),
            )
        ]


def close_loop(context: TaskContext, clip: Clip, frames: int) -> list[Segment]:
    """Append a transition from the end of a clip to its beginning."""
    return [clip, sample_transition(context, clip, clip, frames)]


def default_transition(context: TaskContext) -> int:
    """Return the default frames of a transition: half a window."""
    half = max(1, (context.model.sampling.frames - 1) // 2)
    factor = context.model.vae.time_factor
    return max(1, half // factor) * factor - 1 if takes_both_ends(context) else half


def takes_both_ends(context: TaskContext) -> bool:
    """Return whether a model is given a first and a last frame, and no others."""
    return (0, -1) in context.model.keyframes


def sample_transition(
    context: TaskContext, first: Clip, second: Clip, frames: int
) -> Sampled:
    """Sample the transition between two clips, from a whole latent of the first.

    Raises:
      ValueError: the model takes one frame of each clip, and with so many frames the
        video has no whole latents.
    """
    if takes_both_ends(context):
        return _from_end_to_end(context, first, second, frames)
    factor, overlap = context.model.vae.time_factor, context.overlap
    before = 1 + (min(len(first), overlap) - 1) // factor * factor
    after = min(len(second), overlap)
    after -= (frames + after) % factor
    if after < 1:  # the clip is too short: repeat its last frame
        after += factor
    shown = np.minimum(np.arange(after), len(second) - 1)
    gap = context.grey(frames, first.shape[1:3])
    pixels = np.concatenate([first[-before:], gap, second[shown]])
    total = len(pixels)
    given = [*range(before), *range(before + frames, total)]
    request = context.request(total, condition=given_frames(pixels, given))
    return Sampled(request=request, start=before, stop=before + frames)


def _from_end_to_end(
    context: TaskContext, first: Clip, second: Clip, frames: int
) -> Sampled:
    """Sample the frames between the last of a clip and the first of another."""
    factor = context.model.vae.time_factor
    if (frames + 1) % factor:
        fewer = (frames + 1) // factor * factor - 1
        choices = [f"{n}" for n in (fewer, fewer + factor) if n > 0]
        raise ValueError(
            f"frames between the two that {context.model.name} is given must be a "
            f"multiple of {factor} less 1, got {frames}: ask for {' or '.join(choices)}"
        )
    gap = context.grey(frames, first.shape[1:3])
    pixels = np.concatenate([first[-1:], gap, second[:1]])
    condition = given_frames(pixels, [0, frames + 1])
    request = context.request(frames + 2, condition=condition)
    return Sampled(request=request, start=1, stop=frames + 1)

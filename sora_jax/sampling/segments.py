"""The segments that a task builds: the parts of a video in order.

A segment is footage that is shown unchanged, frames to sample, or a follow-up that
depends on sampled frames. Segments are built without weights, and without JAX.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from sora_jax.sampling.request import Request

# [t h w 3]; unnamed axes, since clips of one function differ in length.
Clip: TypeAlias = Float[np.ndarray, "_ _ _ 3"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampled:
    """Frames to sample, and which of them are shown.

    Attributes:
      request: what to sample.
      start: first frame that is shown.
      stop: one past the last.
    """

    request: Request
    start: int = 0
    stop: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class FollowUp:
    """Segments that depend on sampled frames.

    Attributes:
      sampled: sampled first, and not shown by itself.
      segments: maps its frames to the segments that are shown.
    """

    sampled: Sampled
    segments: Callable[[Clip], list[Segment]]

    def dry(self) -> list[Segment]:
        """Build the segments from grey frames, for their shapes."""
        frames = self.sampled.stop - self.sampled.start
        shape = (frames, *self.sampled.request.settings.size, 3)
        return self.segments(np.broadcast_to(np.float32(0), shape))


Segment: TypeAlias = Clip | Sampled | FollowUp


def all_sampled(segments: Sequence[Segment]) -> Iterator[Sampled]:
    """Yield every sampled segment, also those of follow-ups."""
    for segment in segments:
        if isinstance(segment, Sampled):
            yield segment
        elif isinstance(segment, FollowUp):
            yield segment.sampled
            yield from all_sampled(segment.dry())


def map_requests(
    segments: Sequence[Segment], change: Callable[[Request], Request]
) -> list[Segment]:
    """Apply a function to every request, also those of follow-ups."""

    def changed(segment: Segment) -> Segment:
        if isinstance(segment, Sampled):
            return dataclasses.replace(segment, request=change(segment.request))
        if isinstance(segment, FollowUp):
            return FollowUp(
                sampled=dataclasses.replace(
                    segment.sampled, request=change(segment.sampled.request)
                ),
                segments=lambda clip: map_requests(segment.segments(clip), change),
            )
        return segment

    return [changed(segment) for segment in segments]


def with_prompts(
    segments: Sequence[Segment], prompts: tuple[str, ...], seed: int
) -> list[Segment]:
    """Set the prompts and the seed of a task's segments.

    Args:
      segments: of the task.
      prompts: one for each video, for segments without prompts of their own.
      seed: of the noise.
    """
    return map_requests(
        segments, lambda r: dataclasses.replace(r, prompts=prompts, seed=seed)
    )

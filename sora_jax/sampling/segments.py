"""What a task comes to: the segments that a video consists of, in their order.

A segment is footage that is shown as it is, frames that are sampled, or a follow-up
that depends on sampled frames. Segments are built without weights, and without JAX.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from sora_jax.sampling.request import Request

# [t h w 3]; no names, since those of one function would have to be of one length.
Clip: TypeAlias = Float[np.ndarray, "_ _ _ 3"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampled:
    """Frames that are sampled, and which of them are shown.

    Attributes:
      request: what is sampled.
      start: first frame that is shown.
      stop: one past the last.
    """

    request: Request
    start: int = 0
    stop: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class FollowUp:
    """Segments that depend on sampled frames, which are not shown by themselves.

    Attributes:
      sampled: what comes first.
      segments: from its frames to the segments that are shown.
    """

    sampled: Sampled
    segments: Callable[[Clip], list[Segment]]

    def dry(self) -> list[Segment]:
        """The segments that would follow from grey frames: of the same shapes."""
        frames = self.sampled.stop - self.sampled.start
        shape = (frames, *self.sampled.request.settings.size, 3)
        return self.segments(np.zeros(shape, np.float32))


Segment: TypeAlias = Clip | Sampled | FollowUp


def all_sampled(segments: Sequence[Segment]) -> Iterator[Sampled]:
    """Yield all that is sampled, follow-ups included."""
    for segment in segments:
        if isinstance(segment, Sampled):
            yield segment
        elif isinstance(segment, FollowUp):
            yield segment.sampled
            yield from all_sampled(segment.dry())


def map_requests(
    segments: Sequence[Segment], change: Callable[[Request], Request]
) -> list[Segment]:
    """The segments with changed requests, those of follow-ups included."""

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
    """The segments of a task, for a video of each prompt.

    Args:
      segments: of the task.
      prompts: what each video shows, where the task's own texts do not say it.
      seed: of the noise.
    """
    return map_requests(
        segments, lambda r: dataclasses.replace(r, prompts=prompts, seed=seed)
    )

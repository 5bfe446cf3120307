"""Insert scenes into a clip, or remove spans of it. Times are in seconds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from sora_jax.sampling.limit_checks import too_many
from sora_jax.sampling.segments import Segment
from sora_jax.sampling.tasks.connect import sample_transition
from sora_jax.sampling.tasks.context import (
    TaskContext,
    check_clips,
    check_count,
    check_new_frames,
)
from sora_jax.sampling.tasks.extend import extend_backward, extend_forward
from sora_jax.sampling.tasks.task import Count, Spans, Task, Video

Span = tuple[int | float, int | float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Insert(Task):
    """Insert scenes into a clip.

    Attributes:
      video: the clip.
      span: FROM:TO in seconds of the result, to be filled by the scene.
    """

    name = "insert"

    video: Video
    span: Spans

    def segments(self, context: TaskContext) -> list[Segment]:
        """Keep the pieces of the clip, and sample frames between them."""
        cuts = spans_in_frames(context, self.span)
        clip = context.media.video(self.video)
        check_clips(clip)
        fps = context.settings.fps
        if cuts[-1][1] > len(clip) + sum(stop - start for start, stop in cuts):
            start, stop = (count / fps for count in cuts[-1])
            raise ValueError(
                f"span: {start:g}:{stop:g} begins after the clip's end at "
                f"{len(clip) / fps:g} seconds (what is inserted before it counted): "
                "begin earlier"
            )
        segments: list[Segment] = []
        later, done = clip, 0
        for start, stop in cuts:
            earlier, later = later[: start - done], later[start - done :]
            count, done = stop - start, stop
            segments.append(earlier)
            if not len(earlier):
                segments += extend_backward(context, later, count)
            elif not len(later):
                segments.append(extend_forward(context, earlier, count))
            else:
                segments.append(sample_transition(context, earlier, later, count))
        return [*segments, later]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Remove(Task):
    """Remove spans of a clip, and bridge the gaps.

    Attributes:
      video: the clip.
      span: FROM:TO in seconds of the clip.
      frames: new frames in each gap; by default half a second, or the span's length if
        shorter.
    """

    name = "remove"
    counts = "new"

    video: Video
    span: Spans
    frames: Count | None = None

    def segments(self, context: TaskContext) -> list[Segment]:
        """Keep the other pieces of the clip, and sample frames between them."""
        check_new_frames(context, 1 if self.frames is None else self.frames)
        cuts = spans_in_frames(context, self.span)
        clip = context.media.video(self.video)
        check_clips(clip)
        fps = context.settings.fps
        segments: list[Segment] = []
        begin = 0
        for number, (start, stop) in enumerate(cuts):
            end = cuts[number + 1][0] if number + 1 < len(cuts) else len(clip)
            if start <= begin or stop >= end:
                raise ValueError(
                    f"span: {start / fps:g}:{stop / fps:g} leaves nothing of the clip "
                    f"({len(clip) / fps:g} seconds) on one of its sides, so that there "
                    "is nothing to bridge: take less out, or cut the clip instead"
                )
            earlier, later = clip[begin:start], clip[stop:end]
            usual = min(stop - start, max(1, round(fps / 2)))
            count = usual if self.frames is None else self.frames
            segments += [earlier, sample_transition(context, earlier, later, count)]
            begin = stop
        return [*segments, clip[begin:]]


def spans_in_frames(
    context: TaskContext, spans: Sequence[Span]
) -> list[tuple[int, int]]:
    """Convert spans of seconds to frames, and merge adjacent ones.

    Raises:
      ValueError: a span is empty or begins before 0, or spans overlap or are unsorted.
    """
    fps, most = context.settings.fps, context.limits.frames
    check_count(context, "span", len(spans))
    problems = [
        f"span: {start:g}:{stop:g} must be FROM:TO in seconds, at least one frame long"
        for start, stop in spans
        if start < 0 or round(stop * fps) <= round(start * fps)
    ]
    problems += [
        too_many("span", "frames", round(stop * fps), most)
        for _, stop in spans
        if stop * fps > most
    ]
    problems += [
        f"span: {a[0]:g}:{a[1]:g} and {b[0]:g}:{b[1]:g} overlap or are not sorted: "
        "give spans one after another"
        for a, b in zip(spans, spans[1:], strict=False)
        if b[0] < a[1]
    ]
    if problems or not spans:
        raise ValueError("\n".join(problems) or "span is missing: give FROM:TO")
    cuts: list[tuple[int, int]] = []
    for start, stop in ((round(a * fps), round(b * fps)) for a, b in spans):
        begin = cuts.pop()[0] if cuts and cuts[-1][1] == start else start
        cuts.append((begin, stop))
    return cuts

"""Scenes inserted into footage, and spans of it removed. Times are in seconds."""

from __future__ import annotations

from collections.abc import Sequence

from sora_jax.sampling.limit_checks import too_many
from sora_jax.sampling.segments import Clip, Part
from sora_jax.sampling.tasks.context import (
    Brief,
    check_clips,
    check_count,
    check_new,
)
from sora_jax.sampling.tasks.connect import backward, between, forward

Span = tuple[int | float, int | float]


def insert(brief: Brief, clip: Clip, spans: Sequence[Span]) -> list[Part]:
    """Footage with scenes inserted, which fill the spans of the result."""
    check_clips(clip)
    cuts = _in_frames(brief, spans)
    shown = len(clip) + sum(stop - start for start, stop in cuts)
    if cuts[-1][1] > shown:
        start, stop = (count / brief.settings.fps for count in cuts[-1])
        raise ValueError(
            f"span: {start:g}:{stop:g} begins after the clip's end at "
            f"{len(clip) / brief.settings.fps:g} seconds (what is inserted before it "
            "counted): begin earlier"
        )
    parts: list[Part] = []
    rest, done = clip, 0
    for start, stop in cuts:
        before, rest = rest[: start - done], rest[start - done :]
        count, done = stop - start, stop
        parts.append(before)
        if not len(before):
            parts += backward(brief, rest, count)
        elif not len(rest):
            parts.append(forward(brief, before, count))
        else:
            parts.append(between(brief, before, rest, count))
    return [*parts, rest]


def remove(
    brief: Brief,
    clip: Clip,
    spans: Sequence[Span],
    frames: int | None = None,
) -> list[Part]:
    """Footage with spans taken out, each bridged by new frames (half a second)."""
    check_clips(clip)
    check_new(brief, 1 if frames is None else frames)
    cuts = _in_frames(brief, spans)
    parts: list[Part] = []
    begin = 0
    for number, (start, stop) in enumerate(cuts):
        end = cuts[number + 1][0] if number + 1 < len(cuts) else len(clip)
        if start <= begin or stop >= end:
            raise ValueError(
                f"span: {start / brief.settings.fps:g}:{stop / brief.settings.fps:g} "
                "leaves nothing"
                + f" of the clip ({len(clip) / brief.settings.fps:g} seconds) on one "
                "of its sides, so that there is nothing to bridge: take less out, or "
                "cut the clip instead"
            )
        before, after = clip[begin:start], clip[stop:end]
        half_second = max(1, round(brief.settings.fps / 2))
        count = min(stop - start, half_second) if frames is None else frames
        parts += [before, between(brief, before, after, count)]
        begin = stop
    return [*parts, clip[begin:]]


def _in_frames(brief: Brief, spans: Sequence[Span]) -> list[tuple[int, int]]:
    """Spans of seconds as frames.

    Raises:
      ValueError: one is empty or begins before 0, or they overlap or are not sorted.
    """
    fps = brief.settings.fps
    check_count(brief, "span", len(spans))
    problems = [
        f"span: {start:g}:{stop:g} must be FROM:TO in seconds, of a frame or more"
        for start, stop in spans
        if start < 0 or round(stop * fps) <= round(start * fps)
    ]
    problems += [
        too_many("span", "frames", round(stop * fps), brief.limits.frames)
        for _, stop in spans
        if stop * fps > brief.limits.frames
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
        # Spans that touch are one.
        begin = cuts.pop()[0] if cuts and cuts[-1][1] == start else start
        cuts.append((begin, stop))
    return cuts

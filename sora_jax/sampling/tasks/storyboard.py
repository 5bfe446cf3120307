"""Storyboards: shots one after another, each of stretches with their own text."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from sora_jax.sampling.segments import Canvas, Clip, Part
from sora_jax.sampling.tasks.context import (
    Brief,
    check_count,
    check_new,
    known_frames,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stretch:
    """A stretch of time.

    Attributes:
      frame: where it begins.
      prompt: what it shows.
      picture: that it begins with, of one frame.
      cut: whether a new shot begins with it.
    """

    frame: int
    prompt: str
    picture: Clip | None = None
    cut: bool = False


def storyboard(brief: Brief, stretches: Sequence[Stretch], frames: int) -> list[Part]:
    """A video whose stretches of time show what each of them says.

    Args:
      brief: whose prompts are not read.
      stretches: from frame 0 on, in their order.
      frames: of the whole.
    """
    check_count(brief, "storyboard", len(stretches))
    check_new(brief, frames)
    if not stretches:
        raise ValueError(
            "stretches is empty: say what the video shows, from frame 0 on"
        )
    places = [stretch.frame for stretch in stretches]
    if sorted({*places, 0}) != places or places[-1] >= frames:
        raise ValueError(
            f"storyboard: its shots (stretches) begin at frames {places} of {frames}, "
            "and must begin at 0 and grow, all before the end: set their times farther "
            "apart"
        )
    starts = [0] + [s.frame for s in stretches if s.cut and s.frame > 0] + [frames]
    parts: list[Part] = []
    for start, stop in zip(starts, starts[1:], strict=False):
        inside = [s for s in stretches if start <= s.frame < stop]
        parts.append(shot(brief, inside, start, stop))
    return parts


def shot(brief: Brief, stretches: Sequence[Stretch], start: int, stop: int) -> Canvas:
    """The frames between two cuts."""
    total, factor = brief.whole(stop - start), brief.model.vae.time_factor
    latents = [-(-(s.frame - start) // factor) for s in stretches]
    if len(set(latents)) < len(latents):
        raise ValueError(
            f"storyboard: shots at frames {[s.frame for s in stretches]} begin in the "
            f"same latent of {factor} frames: set them {factor} frames apart or more"
        )
    pictures = {s.frame - start: s.picture for s in stretches if s.picture is not None}
    condition = None
    if pictures:
        pixels = brief.grey(total, brief.settings.size)
        for place, picture in pictures.items():
            if picture.shape[1:3] != brief.settings.size:
                height, width = brief.settings.size
                raise ValueError(
                    "stretches: pictures must be of the video's size "
                    f"{width}x{height}, got {picture.shape[2]}x{picture.shape[1]}"
                )
            pixels[place] = picture[0]
        condition = known_frames(pixels, list(pictures))
    told = dataclasses.replace(brief, prompts=(stretches[0].prompt,))
    request = told.request(
        total,
        condition=condition,
        story=tuple((s.frame - start, s.prompt) for s in stretches[1:]),
    )
    return Canvas(request=request, stop=stop - start)

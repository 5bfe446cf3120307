"""Videos from text, and through pictures at given frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from sora_jax.sampling.segments import Canvas, Clip, Part
from sora_jax.sampling.tasks.context import (
    Brief,
    check_clips,
    check_count,
    known_frames,
)
from sora_jax.types import Condition


@dataclasses.dataclass(frozen=True, kw_only=True)
class Keyframe:
    """A picture that a video shows.

    Attributes:
      pixels: of one frame.
      frame: which; negative numbers count from the end.
      strength: for which share of the denoising, from its beginning, it is known; at 1
        it comes back as it is.
    """

    pixels: Clip
    frame: int = 0
    strength: int | float = 1.0


def generate(brief: Brief, frames: int) -> list[Part]:
    """Videos of which nothing is known."""
    return [Canvas(request=brief.request(frames), stop=frames)]


def animate(brief: Brief, keyframes: Sequence[Keyframe], frames: int) -> list[Part]:
    """A video through the keyframes."""
    if not keyframes:
        raise ValueError("image is missing: give a keyframe or more")
    check_count(brief, "image", len(keyframes))
    check_clips(*(key.pixels for key in keyframes))
    places = [_place(key.frame, frames) for key in keyframes]
    twice = sorted({place for place in places if places.count(place) > 1})
    if twice:
        raise ValueError(f"image: frames {twice} are given twice: leave one of each")
    strengths = sorted({key.strength for key in keyframes})
    if any(not 0 < strength <= 1 for strength in strengths):
        raise ValueError(
            f"image: strengths must be above 0 and at most 1, got {strengths}"
        )
    pixels = brief.grey(frames, keyframes[0].pixels.shape[1:3])
    for place, key in zip(places, keyframes, strict=True):
        pixels[place] = key.pixels[0]

    def at_least(strength: int | float) -> Condition:
        known = [
            place
            for place, key in zip(places, keyframes, strict=True)
            if key.strength >= strength
        ]
        return known_frames(pixels, known)

    request = brief.request(
        frames,
        condition=at_least(1) if 1 in strengths else None,
        fading=tuple((s, at_least(s)) for s in strengths if s < 1),
    )
    return [Canvas(request=request, stop=frames)]


def _place(frame: int, frames: int) -> int:
    """The number of a frame that may be counted from the end."""
    if not -frames <= frame < frames:
        raise ValueError(
            f"image: frame {frame} is outside a video of {frames} frames: give "
            f"{-frames} to {frames - 1}, or more --frames"
        )
    return frame % frames

"""Storyboards: a sequence of shots, each of stretches with their own prompts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from sora_jax.sampling.segments import Sampled, Segment
from sora_jax.sampling.stories import latent_of
from sora_jax.sampling.tasks.context import (
    TaskContext,
    check_count,
    check_new_frames,
    given_frames,
)
from sora_jax.sampling.tasks.inputs import Stretch
from sora_jax.sampling.tasks.task import CountInPython, Story, Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class Storyboard(Task):
    """Generate a video with a prompt for each stretch of time.

    Attributes:
      storyboard: a YAML or JSON file of prompts, pictures and their times.
      frames: of the video, if stretches are given instead of a file.
    """

    name = "storyboard"
    prompt = "none"

    storyboard: Story
    frames: CountInPython | None = None

    def segments(self, context: TaskContext) -> list[Segment]:
        """Sample each shot on its own."""
        stretches, frames = self._in_frames(context)
        check_count(context, "storyboard", len(stretches))
        check_new_frames(context, frames)
        begins = [stretch.frame for stretch in stretches]
        if not stretches:
            raise ValueError(
                "storyboard is empty: say what the video shows, from frame 0 on"
            )
        if sorted({*begins, 0}) != begins or begins[-1] >= frames:
            raise ValueError(
                f"storyboard: its shots (stretches) begin at frames {begins} of "
                f"{frames}, and must begin at 0 and grow, all before the end: set "
                "their times farther apart"
            )
        cuts = [stretch.frame for stretch in stretches[1:] if stretch.cut]
        ends = [*cuts, frames]
        return [
            sample_shot(
                context, [s for s in stretches if start <= s.frame < stop], stop
            )
            for start, stop in zip([0, *cuts], ends, strict=True)
        ]

    def footage(self) -> list[Any]:
        """Return nothing: pictures are named in the storyboard."""
        return []

    def _in_frames(self, context: TaskContext) -> tuple[list[Stretch], int]:
        """Return the stretches in frames, and the number of frames."""
        if isinstance(self.storyboard, list):
            if self.frames is None:
                raise ValueError("frames is missing: give the length of the video")
            return self.storyboard, self.frames
        if self.frames is not None:
            raise ValueError(
                f"frames must be left out, got {self.frames}: the storyboard's file "
                "sets the length"
            )
        board, fps = context.media.storyboard(self.storyboard), context.settings.fps
        stretches = [_stretch(shot, fps) for shot in board.shots]
        return stretches, max(1, round(board.seconds * fps))


def _stretch(shot: Any, fps: float) -> Stretch:
    """Convert a shot of a storyboard's file to a stretch."""
    at = round(shot.at * fps)
    return Stretch(frame=at, prompt=shot.prompt, picture=shot.image, cut=shot.cut)


def sample_shot(
    context: TaskContext, stretches: Sequence[Stretch], stop: int
) -> Sampled:
    """Sample the frames between two cuts."""
    start, factor = stretches[0].frame, context.model.vae.time_factor
    latents = [latent_of(x.frame - start, context.model) for x in stretches]
    if len(set(latents)) < len(latents):
        raise ValueError(
            f"storyboard: shots at frames {[s.frame for s in stretches]} begin in the "
            f"same latent of {factor} frames: set them {factor} frames apart or more"
        )
    total, size = context.whole(stop - start), context.settings.size
    pictures = {s.frame - start: s.picture for s in stretches if s.picture is not None}
    condition = None
    if pictures:
        pixels = context.grey(total, size)
        for at, given in pictures.items():
            picture = context.media.picture(given, "storyboard")
            if picture.shape[1:3] != size:
                raise ValueError(
                    "storyboard: pictures must be of the video's size "
                    f"{size[1]}x{size[0]}, got {picture.shape[2]}x{picture.shape[1]}"
                )
            pixels[at] = picture[0]
        condition = given_frames(pixels, list(pictures))
    request = context.request(
        total,
        condition=condition,
        story=tuple((s.frame - start, s.prompt) for s in stretches),
    )
    return Sampled(request=request, stop=stop - start)

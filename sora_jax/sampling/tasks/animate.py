"""Videos through pictures at given frames."""

from __future__ import annotations

import dataclasses

import numpy as np

from sora_jax.condition import Condition
from sora_jax.sampling.segments import Clip, Sampled, Segment
from sora_jax.sampling.tasks.context import (
    TaskContext,
    check_clips,
    check_count,
    given_frames,
)
from sora_jax.sampling.tasks.guided import Guided
from sora_jax.sampling.tasks.task import Count, Keyframes, Noise


@dataclasses.dataclass(frozen=True, kw_only=True)
class Animate(Guided):
    """Animate pictures.

    Attributes:
      image: a picture to show, as FILE, FILE@FRAME or FILE@FRAME:STRENGTH (-1 is the
        last frame; with a strength below 1 the frame only resembles it).
      frames: of the video, 1 + r k, with the VAE's time factor r.
      init_noise: initial latents [t, h, w, z], instead of the seed's noise.
    """

    name = "animate"
    counts = "all"

    image: Keyframes
    frames: Count | None = None
    init_noise: Noise | None = None

    def segments(self, context: TaskContext) -> list[Segment]:
        """Sample all frames, with those of the keyframes given."""
        if not self.image:
            raise ValueError("image is missing: give at least one keyframe")
        check_count(context, "image", len(self.image))
        frames = context.settings.frames
        frames = frames if self.frames is None else self.frames
        keys = [
            (_index(key.frame, frames), key.strength, key.picture) for key in self.image
        ]
        _check_keys([at for at, _, _ in keys], [strength for _, strength, _ in keys])
        pictures = [context.media.picture(picture, "image") for _, _, picture in keys]
        check_clips(*pictures)
        if context.model.chunks is not None and [key[:2] for key in keys] == [(0, 1)]:
            return self.follow(context, pictures[0], frames - 1)
        pixels = context.grey(frames, pictures[0].shape[1:3])
        pixels[[at for at, _, _ in keys]] = np.concatenate(pictures)

        def at_least(least: int | float) -> Condition:
            return given_frames(pixels, [at for at, s, _ in keys if s >= least])

        strengths = sorted({strength for _, strength, _ in keys})
        originals = [
            context.media.original(picture, "image")
            for _, strength, picture in sorted(keys, key=lambda key: key[0])
            if strength == 1
        ]
        request = context.request(
            frames,
            condition=at_least(1) if 1 in strengths else None,
            pictures=tuple(originals) if context.model.picture is not None else (),
            fading=tuple((s, at_least(s)) for s in strengths if s < 1),
            guide=self.guide(context),
            noise=context.media.noise(self.init_noise),
        )
        return [Sampled(request=request, stop=frames)]

    def follow(self, context: TaskContext, picture: Clip, frames: int) -> list[Segment]:
        """Show a picture, and sample the frames after it."""
        if not frames:
            return [picture]
        request = context.request(
            context.whole(frames),
            history=picture,
            guide=self.guide(context),
            noise=context.media.noise(self.init_noise),
        )
        return [picture, Sampled(request=request, stop=frames)]


def _index(frame: int, frames: int) -> int:
    """Return the index of a frame; negative ones count from the end."""
    if not -frames <= frame < frames:
        raise ValueError(
            f"image: frame {frame} is outside a video of {frames} frames: give "
            f"{-frames} to {frames - 1}, or more --frames"
        )
    return frame % frames


def _check_keys(frames: list[int], strengths: list[int | float]) -> None:
    twice = sorted({frame for frame in frames if frames.count(frame) > 1})
    if twice:
        raise ValueError(f"image: frames {twice} are given twice: give each once")
    if any(not 0 < strength <= 1 for strength in strengths):
        raise ValueError(
            "image: strengths must be above 0 and at most 1, got "
            f"{sorted(set(strengths))}"
        )

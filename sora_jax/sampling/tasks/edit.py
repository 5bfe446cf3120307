"""Tasks that denoise a clip from an intermediate level: edit and upscale."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float

from sora_jax.config.plain import FPS
from sora_jax.data.interpolation import blend_frames
from sora_jax.files import quoted
from sora_jax.sampling.segments import Clip, FollowUp, Sampled, Segment
from sora_jax.sampling.tasks.context import TaskContext, check_clips, check_memory
from sora_jax.sampling.tasks.task import Count, RateInPython, Share, Task, Video
from sora_jax.sampling.tile_choice import choose_tile

Frames = Float[np.ndarray, "_ *shape"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Edit(Task):
    """Change the content of a clip, and keep its motion and layout.

    SDEdit (Meng et al. 2021).

    Attributes:
      video: the clip.
      strength: from 0 (no change) to 1 (the clip is ignored).
    """

    name = "edit"
    prompt = "required"

    video: Video
    strength: Share = 0.7

    def segments(self, context: TaskContext) -> list[Segment]:
        """Sample the clip from an intermediate noise level."""
        return [
            denoise_partially(context, context.media.video(self.video), self.strength)
        ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Upscale(Task):
    """Refine a clip, or a draft from the prompt, at a larger size.

    Attributes:
      video: the clip; without one, a draft is generated at the model's default size.
      frames: of the draft, 1 + r k, with the VAE's time factor r.
      strength: from 0 (no change) to 1 (the clip is ignored).
      video_fps: frame rate of `video`, if it is an array: frames are blended to the
        rate of the result; by default it has that rate.
    """

    name = "upscale"
    counts = "all"
    size: ClassVar[Literal["input", "another"]] = "another"

    video: Video | None = None
    frames: Count | None = None
    strength: Share = 0.4
    video_fps: RateInPython | None = None

    @property
    def needs_prompt(self) -> bool:
        """Return whether there is no clip."""
        return self.video is None

    @property
    def counts_frames(self) -> bool:
        """Return whether there is no clip."""
        return self.video is None

    def segments(self, context: TaskContext) -> list[Segment]:
        """Sample the enlarged clip from an intermediate noise level."""
        size = context.settings.size
        if self.video is not None:
            clip = context.media.enlarged(self._at_rate(self.video, context))
            return [refine(context, clip, self.strength)]
        small = context.model.sampling.size
        check_larger(size, small)
        frames = context.settings.frames
        frames = frames if self.frames is None else self.frames
        draft = Sampled(request=context.resized(small).request(frames), stop=frames)

        def refined(clip: Clip) -> list[Segment]:
            large = context.media.enlarged(clip)
            return [refine(context, large, self.strength)]

        return [FollowUp(sampled=draft, segments=refined)]

    def _at_rate(self, video: Any, context: TaskContext) -> Any:
        """Return the video; an array at the rate of the result, if its own is known.

        Raises:
          ValueError: its rate is not a frame rate, or is that of a file.
        """
        fps = self.video_fps
        if fps is None:
            return video
        if not FPS[0] <= fps <= FPS[1]:
            raise ValueError(
                f"video_fps must be from {FPS[0]:.3g} to {FPS[1]:.0f}, got {fps}"
            )
        if isinstance(video, str):
            raise ValueError(
                f"video_fps must be left out, got {fps}: the file {quoted(video)} has "
                "its own"
            )
        count = max(1, round(len(video) * context.settings.fps / fps))
        check_memory(count, context.settings.size, context.limits)
        return blend_frames(video, count, fps / context.settings.fps)


def denoise_partially(
    context: TaskContext,
    clip: Clip,
    strength: int | float,
    tile: tuple[int, int] | None = None,
) -> Sampled:
    """Sample a clip from the noise level of a strength (SDEdit)."""
    check_clips(clip)
    source = hold_last_frame(clip, context.whole(len(clip)))
    request = context.request(len(source), source=source, strength=strength, tile=tile)
    return Sampled(request=request, stop=len(clip))


def refine(context: TaskContext, clip: Clip, strength: int | float) -> Sampled:
    """Sample an enlarged clip from the noise level of a strength, if large in tiles."""
    check_memory(len(clip), context.settings.size, context.limits)
    tile = choose_tile(context.settings, context.model)
    return denoise_partially(context, clip, strength, tile)


def check_larger(size: tuple[int, int], small: tuple[int, ...]) -> None:
    """Check that a size is larger than the clip's."""
    if min(large - old for large, old in zip(size, small, strict=True)) < 0 or (
        size == tuple(small)
    ):
        raise ValueError(
            f"size must be larger than {small[1]}x{small[0]} to refine it, got "
            f"{size[1]}x{size[0]}"
        )


def hold_last_frame(frames: Frames, count: int) -> Frames:
    """Repeat the last frame until there are `count` frames."""
    if count == len(frames):
        return frames
    if not any(frames.strides):  # of a dry run
        return np.broadcast_to(frames[:1], (count, *frames.shape[1:]))
    return frames[np.minimum(np.arange(count), len(frames) - 1)]

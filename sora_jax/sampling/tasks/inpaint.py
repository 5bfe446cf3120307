"""Repaint a clip inside a mask, or extend its frames on all sides."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from sora_jax.condition import Guide
from sora_jax.diffusion import conditioning
from sora_jax.sampling.limit_checks import too_many
from sora_jax.sampling.segments import Clip, Sampled, Segment
from sora_jax.sampling.tasks.context import TaskContext, check_clips
from sora_jax.sampling.tasks.edit import hold_last_frame
from sora_jax.sampling.tasks.guided import Guided
from sora_jax.sampling.tasks.task import Mask, Size, Task, Video

NO_GUIDE = Guide()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inpaint(Guided):
    """Repaint a region of a clip; all other pixels stay unchanged.

    Attributes:
      video: the clip.
      mask: an image or a video of the clip's displayed size; white (in an array, 1)
        is repainted.
    """

    name = "inpaint"

    video: Video
    mask: Mask

    def segments(self, context: TaskContext) -> list[Segment]:
        """Sample the clip, given where the mask is 0."""
        clip, mask = context.media.masked_video(self.video, self.mask)
        check_clips(clip)
        if mask.shape != clip.shape[:3]:
            raise ValueError(
                f"mask must be of the clip's shape {clip.shape[:3]} (frames, height, "
                f"width), got {mask.shape}"
            )
        if not np.isin(mask, (0, 1)).all():
            raise ValueError("mask must hold only 0 (kept) and 1 (repainted)")
        guide = self.guide(context)
        if guide.control is not None:
            frames = context.whole(len(clip))
            held = hold_last_frame(guide.control, frames)
            guide = dataclasses.replace(guide, control=held)
        return [repaint(context, clip, mask, guide)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outpaint(Task):
    """Extend the frames of a clip on all sides.

    Attributes:
      video: the clip, which is placed in the middle.
      outpaint: WIDTHxHEIGHT, larger than the clip's --size.
    """

    name = "outpaint"

    video: Video
    outpaint: Size

    def segments(self, context: TaskContext) -> list[Segment]:
        """Place the clip in larger frames, and sample the border."""
        clip = context.media.video(self.video)
        check_clips(clip)
        _, height, width, _ = clip.shape
        rows, columns = self.outpaint
        if max(rows, columns) > context.limits.side:
            most = context.limits.side
            raise ValueError(too_many("outpaint", "pixels", max(rows, columns), most))
        if height > rows or width > columns or (height, width) == (rows, columns):
            raise ValueError(
                f"outpaint must be larger than the clip ({width}x{height}), got "
                f"{columns}x{rows}"
            )
        top, left = (rows - height) // 2, (columns - width) // 2
        pixels = context.grey(len(clip), (rows, columns))
        pixels[:, top : top + height, left : left + width] = clip
        box = (top, left, top + height, left + width)
        mask = 1 - conditioning.inside_box_mask(len(pixels), rows, columns, box)
        return [repaint(context.resized((rows, columns)), pixels, mask)]


def repaint(
    context: TaskContext,
    clip: Clip,
    mask: Float[np.ndarray, "t h w"],
    guide: Guide = NO_GUIDE,
) -> Sampled:
    """Sample a clip where the mask is 1, given where it is 0."""
    frames = context.whole(len(clip))
    given = hold_last_frame(1 - mask, frames)
    condition = conditioning.grey_out(hold_last_frame(clip, frames), given)
    request = context.request(frames, condition=condition, guide=guide)
    return Sampled(request=request, stop=len(clip))

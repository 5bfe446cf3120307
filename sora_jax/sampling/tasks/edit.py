"""New content for a clip: edited, made anew in a region or around it, or refined.

Clips are `[t h w 3]` in [-1, 1].
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from sora_jax.data.video import fit
from sora_jax.diffusion import conditioning
from sora_jax.sampling.segments import Canvas, Clip, Part, Then
from sora_jax.sampling.tasks.context import Brief, check_clips

EDIT, REFINE = 0.7, 0.4  # how much is changed where nothing is said
Size = tuple[int, int]
Frames = Float[np.ndarray, "_ *shape"]


def edit(brief: Brief, clip: Clip, strength: int | float) -> list[Part]:
    """The same motion and layout with new content (SDEdit, Meng et al. 2021)."""
    check_clips(clip)
    source = repeat_last(clip, brief.whole(len(clip)))
    request = brief.request(len(source), source=source, strength=strength)
    return [Canvas(request=request, stop=len(clip))]


def inpaint(brief: Brief, clip: Clip, mask: Float[np.ndarray, "t h w"]) -> list[Part]:
    """A clip made anew where the mask is 0; the rest comes back as it is."""
    check_clips(clip)
    if mask.shape != clip.shape[:3]:
        raise ValueError(
            f"mask must be of the clip's shape {clip.shape[:3]} (frames, height, "
            f"width), got {mask.shape}"
        )
    if not np.isin(mask, (0, 1)).all():
        raise ValueError("mask must hold 0 (made anew) and 1 (known) alone")
    frames = brief.whole(len(clip))
    condition = conditioning.hide(repeat_last(clip, frames), repeat_last(mask, frames))
    request = brief.request(frames, condition=condition)
    return [Canvas(request=request, stop=len(clip))]


def outpaint(brief: Brief, clip: Clip) -> list[Part]:
    """A clip in the middle of larger frames, whose surroundings are made."""
    _, height, width, _ = clip.shape
    rows, columns = brief.settings.size
    if height > rows or width > columns or (height, width) == (rows, columns):
        raise ValueError(
            f"outpaint must be larger than the clip ({width}x{height}), got "
            f"{columns}x{rows}"
        )
    top, left = (rows - height) // 2, (columns - width) // 2
    pixels = brief.grey(len(clip), (rows, columns))
    pixels[:, top : top + height, left : left + width] = clip
    box = (top, left, top + height, left + width)
    return inpaint(
        brief, pixels, conditioning.region_known(len(pixels), rows, columns, box)
    )


def upscale(brief: Brief, clip: Clip, strength: int | float) -> list[Part]:
    """A clip refined at the settings' size, by the same transformer."""
    check_larger(brief.settings.size, clip.shape[1:3])
    return edit(brief, fit(clip, *brief.settings.size), strength)


def upscale_draft(brief: Brief, strength: int | float) -> list[Part]:
    """A video made at the model's own size, then refined at the settings' size."""
    frames, small = brief.settings.frames, brief.model.sampling.size
    check_larger(brief.settings.size, small)
    request = brief.sized(small).request(frames)
    return [
        Then(
            canvas=Canvas(request=request, stop=frames),
            parts=lambda made: upscale(brief, made, strength),
        )
    ]


def check_larger(size: Size, small: tuple[int, ...]) -> None:
    """Refuse a size that is none to refine at."""
    if min(large - old for large, old in zip(size, small, strict=True)) < 0 or (
        size == tuple(small)
    ):
        raise ValueError(
            f"size must be larger than {small[1]}x{small[0]} to refine it, got "
            f"{size[1]}x{size[0]}"
        )


def repeat_last(frames: Frames, count: int) -> Frames:
    """Let the last frame stand still until there are so many."""
    return frames[np.minimum(np.arange(count), len(frames) - 1)]

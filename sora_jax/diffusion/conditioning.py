"""Masks of the given pixels, and the conditioning channels beside the noise.

Every task is a mask over (time, height, width), 1 where a pixel is given, and training
draws the same masks that tasks build. Conditions are encoded from given pixels alone:
the clip goes through the VAE with all others grey, so that nothing of what is generated
leaks into its condition.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from sora_jax.condition import Condition

Mask = Float[np.ndarray, "t h w"]
# How often each condition is drawn in training.
_DRAWN = {
    "first": 0.3,
    "ends": 0.1,
    "keyframes": 0.1,
    "beginning": 0.15,
    "ending": 0.1,
    "both": 0.1,
    "inside": 0.1,
    "outside": 0.05,
}


def empty_mask(frames: int, height: int, width: int) -> Mask:
    """Text alone: no pixel is given."""
    return np.zeros((frames, height, width), np.float32)


def given_frames_mask(frames: int, height: int, width: int, known: list[int]) -> Mask:
    """Keyframes, beginnings, endings: whole frames are given."""
    mask = empty_mask(frames, height, width)
    mask[known] = 1
    return mask


def outside_box_mask(
    frames: int, height: int, width: int, box: tuple[int, int, int, int]
) -> Mask:
    """Inpainting: all but the box (top, left, bottom, right) is given."""
    top, left, bottom, right = box
    mask = np.ones((frames, height, width), np.float32)
    mask[:, top:bottom, left:right] = 0
    return mask


def inside_box_mask(
    frames: int, height: int, width: int, box: tuple[int, int, int, int]
) -> Mask:
    """Outpainting: only the box (top, left, bottom, right) is given."""
    return 1 - outside_box_mask(frames, height, width, box)


def prefix_length(mask: Mask) -> int | None:
    """How many frames are given, if those at the beginning are and nothing else."""
    count = int(mask.all(axis=(1, 2)).argmin()) if not mask.all() else len(mask)
    return None if mask[count:].any() else count


def whole_frames(mask: Mask) -> list[int] | None:
    """Return which frames are given, if all of them are given whole."""
    shares = np.asarray(mask).mean(axis=(1, 2))
    whole = np.flatnonzero(shares == 1).tolist()
    return whole if len(whole) == np.count_nonzero(shares) else None


def draw_mask(rng: np.random.Generator, frames: int, height: int, width: int) -> Mask:
    """Draw the mask of a condition, as tasks build them (never an empty one)."""
    kinds = ["inside", "outside"] if frames == 1 else list(_DRAWN)
    odds = np.array([_DRAWN[kind] for kind in kinds])
    kind = kinds[rng.choice(len(kinds), p=odds / odds.sum())]
    if kind in ("inside", "outside"):
        return draw_region_mask(rng, frames, height, width, kind == "inside")
    known = draw_given_frames(rng, frames, kind)
    return given_frames_mask(frames, height, width, known)


def draw_given_frames(rng: np.random.Generator, frames: int, kind: str) -> list[int]:
    """Draw which whole frames are given."""
    span = int(rng.integers(1, frames))
    split = int(rng.integers(0, span + 1))  # of frames at both ends
    count = int(rng.integers(1, min(3, frames) + 1))
    keyframes = rng.choice(frames, count, replace=False).tolist()
    # Of a long video, keyframes may come after frames of an earlier window.
    before = span // 2 if rng.random() < 0.25 else 0
    return {
        "first": [0],
        "ends": [0, frames - 1],
        "keyframes": [*range(before), *keyframes],
        "beginning": list(range(span)),
        "ending": list(range(frames - span, frames)),
        "both": [*range(split), *range(frames - (span - split), frames)],
    }[kind]


def draw_region_mask(
    rng: np.random.Generator, frames: int, height: int, width: int, inside: bool
) -> Mask:
    """Draw a box that may move, whose inside or outside is generated.

    In a window of a longer video, the frames of the window before are given besides.
    """
    start, stop = (np.array(draw_box(rng, height, width)) for _ in range(2))
    moves = rng.random() < 0.5
    mask = empty_mask(frames, height, width)
    for frame, share in enumerate(np.linspace(0, 1, frames)):
        top, left, bottom, right = (
            np.rint(start + share * (stop - start)).astype(int) if moves else start
        )
        mask[frame, top:bottom, left:right] = 1
    mask = 1 - mask if inside else mask
    if frames > 1 and rng.random() < 0.25:
        mask[: int(rng.integers(1, frames))] = 1
    return mask


def draw_box(
    rng: np.random.Generator, height: int, width: int
) -> tuple[int, int, int, int]:
    """Draw a box that covers a quarter to three quarters of each side."""
    sides = []
    for length in (height, width):
        size = int(rng.integers(length // 4, 3 * length // 4 + 1))
        start = int(rng.integers(0, length - size + 1))
        sides.append((start, start + size))
    (top, bottom), (left, right) = sides
    return top, left, bottom, right


def grey_out(pixels: Float[Any, "t h w c"], mask: Mask) -> Condition:
    """Grey out the pixels that are not given."""
    return Condition(pixels=pixels * mask[..., None], mask=mask)


def fold_mask(
    mask: Mask, time_factor: int, space_factor: int
) -> Float[np.ndarray, "t2 h2 w2 f"]:
    """Bring a mask to latent resolution: Wan's layout, one channel per pixel frame.

    The first latent frame is one pixel frame, repeated; each later one is
    `time_factor` frames. A cell's value is the share of its pixels that is given.
    """
    mask = np.concatenate([np.repeat(mask[:1], time_factor - 1, axis=0), mask])
    t, h, w = (
        mask.shape[0] // time_factor,
        mask.shape[1] // space_factor,
        mask.shape[2] // space_factor,
    )
    mask = mask.reshape(t, time_factor, h, space_factor, w, space_factor)
    return mask.mean(axis=(3, 5)).transpose(0, 2, 3, 1)


def conditioning_channels(
    mask: Mask, latents: Float[np.ndarray, "t2 h2 w2 z"], time_factor: int
) -> Float[np.ndarray, "t2 h2 w2 q"]:
    """Join the mask and the latents of the given pixels; zeros where none is given.

    Args:
      mask: of the pixels.
      latents: of the clip whose other pixels are grey.
      time_factor: frames in each latent frame but the first.
    """
    folded = fold_mask(mask, time_factor, mask.shape[1] // latents.shape[1])
    return np.concatenate([folded, latents * bool(mask.any())], axis=-1)

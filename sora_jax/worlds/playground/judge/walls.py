"""Find the grey wall, and add it to the backdrop."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage as scipy_ndimage

from sora_jax.worlds.playground import world
from sora_jax.worlds.playground.judge import views
from sora_jax.worlds.playground.judge.backdrop import Backdrop

# SciPy does not say what these functions return.
ndimage: Any = scipy_ndimage

_GREY = np.array(world.WALL_COLOUR, np.float32)
_ALIKE = 0.15  # to the wall's colour, in RGB distance
_DIFFERENT = 0.08  # from the backdrop, in RGB distance
_SMALLEST = 0.06  # area in square units
_OFTEN = 0.3  # of the frames, for a wall to be one


@dataclasses.dataclass(frozen=True, kw_only=True)
class FoundWall:
    """The wall, if there is one.

    Attributes:
      wall: in world units.
      shadow: the pixels that it covers.
      is_seen: in each frame.
    """

    wall: world.Wall | None
    shadow: Bool[np.ndarray, "h w"]
    is_seen: tuple[bool, ...]


def find_wall(backdrop: Backdrop, difference: Float[np.ndarray, "t h w"]) -> FoundWall:
    """Look for a wall that stays where it is.

    Args:
      backdrop: of the frames.
      difference: of each pixel from the backdrop, in RGB distance.
    """
    masks = _masks(backdrop.relit, difference)
    frames = np.array([mask.any() for mask in masks])
    wall, shadow = None, np.zeros(masks.shape[1:], bool)
    if frames.mean() > _OFTEN:
        wall, shadow = _outline(masks[frames], backdrop, np.flatnonzero(frames))
    seen = tuple(bool(item) for item in frames)
    return FoundWall(wall=wall, shadow=shadow, is_seen=seen)


def paint_wall(backdrop: Backdrop, wall: world.Wall) -> Backdrop:
    """Paint a wall in front of a backdrop."""
    painted = views.paint_view(
        backdrop.background,
        backdrop.pan,
        backdrop.zoom,
        *backdrop.painted.shape[1:3],
        wall=wall,
    )
    painted = views.softened(painted, backdrop.blur)
    return dataclasses.replace(backdrop, painted=painted)


def label(mask: Bool[np.ndarray, "h w"]) -> tuple[Int[np.ndarray, "h w"], int]:
    """Number the patches of a mask from 1; return how many there are, too."""
    labels = np.zeros(mask.shape, np.int32)
    return labels, int(ndimage.label(mask, np.ones((3, 3)), output=labels))


def _masks(relit: np.ndarray, difference: np.ndarray) -> np.ndarray:
    """Return [t h w]: the pixels of one large object that has the wall's colour."""
    grey = np.linalg.norm(relit - _GREY, axis=-1) < _ALIKE
    result = np.zeros(grey.shape, bool)
    for number, mask in enumerate(grey & (difference > _DIFFERENT)):
        labels, count = label(ndimage.binary_opening(mask))
        if not count:
            continue
        areas = np.bincount(labels.ravel())[1:] / mask.size
        if areas.max() > _SMALLEST:
            result[number] = labels == 1 + np.argmax(areas)
    return result


def _outline(
    walls: np.ndarray, backdrop: Backdrop, frames: np.ndarray
) -> tuple[world.Wall | None, np.ndarray]:
    """Return the rectangle of a wall, if it stays, and the pixels it covers all of."""
    usual = walls.mean(axis=0) > 0.4
    if not usual.any():
        return None, usual
    relit, painted = backdrop.relit[frames], backdrop.painted[frames]
    way = _GREY - painted
    share = ((relit - painted) * way).sum(axis=-1) / (way**2).sum(axis=-1)
    share = np.median(share, axis=0)
    rows, columns = (np.flatnonzero(usual.any(axis=axis)) for axis in (1, 0))
    left, right = _edges(np.median(share[rows[0] : rows[-1] + 1], axis=0), columns)
    top, bottom = _edges(np.median(share[:, columns[0] : columns[-1] + 1], 1), rows)
    corners = np.array([[left, top], [right, bottom]])
    (x0, y0), (x1, y1) = backdrop.to_world(corners, 0)
    shadow = np.zeros(usual.shape, bool)
    shadow[round(top) : round(bottom), round(left) : round(right)] = True
    return world.Wall(left=x0, right=x1, top=y0, bottom=y1), shadow


def _edges(profile: np.ndarray, inside: np.ndarray) -> tuple[float, float]:
    """Return where a profile rises above a half and falls again, to part of a pixel."""
    low, high = inside[0], inside[-1]
    while low > 0 and profile[low - 1] > 0.5:
        low -= 1
    while high < len(profile) - 1 and profile[high + 1] > 0.5:
        high += 1
    before = profile[low - 1] if low > 0 else 0.0
    after = profile[high + 1] if high < len(profile) - 1 else 0.0
    return float(low - np.clip(before, 0.0, 0.5)), float(
        high + 1 + np.clip(after, 0, 0.5)
    )

"""Track objects through time: blobs per frame in, tracks out.

A track is one object of a stretch: its colour, shape and size, and where it is, how
large and how turned in each frame in which it is seen.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32
from scipy import optimize

from sora_jax.worlds.playground.judge import backdrop, segmentation, shape_templates
from sora_jax.worlds.playground.judge.segmentation import Blob

NEAR = 0.1  # units: a tenth of the view's side is the same place
_FAR = 1.0  # units: what is not there at all is a view away
_FARTHEST = 0.45  # units that an object may go from one frame to the next
_RECENT = 6  # blobs of a chain whose colour counts
_COLOUR_COST = 0.6
_SIZE_COST = 0.6
_TOO_MUCH = 1.1  # the cost at which a blob is another object


@dataclasses.dataclass(frozen=True, kw_only=True)
class Track:
    """An object of a stretch, as it is seen.

    Attributes:
      colour: a name in `segmentation.NAMES`.
      shape: a name in `world.SHAPES`.
      frames: in which it is seen, in order.
      centre: (x, y) in world units.
      radius: nominal, in world units.
      angle: clockwise turn, without jumps; 0 where the shape is round.
      is_hidden: whether a wall may hide part of it; never in every frame.
    """

    colour: str
    shape: str
    frames: np.ndarray
    centre: Float[np.ndarray, "t 2"]
    radius: Float[np.ndarray, " t"]
    angle: Float[np.ndarray, " t"]
    is_hidden: np.ndarray


def link_blobs(blobs: Sequence[Sequence[Blob]]) -> list[list[Blob]]:
    """Join blobs of successive frames that are the same object, by place and looks."""
    chains: list[list[Blob]] = []
    for found in blobs:
        found = _joined_around_wall(found)
        taken: set[int] = set()
        if chains and found:
            cost = np.array(
                [[_cost(chain, blob) for blob in found] for chain in chains]
            )
            for row, column in zip(*optimize.linear_sum_assignment(cost), strict=True):
                if cost[row, column] < _TOO_MUCH:
                    chains[row].append(found[column])
                    taken.add(int(column))
        chains += [[blob] for n, blob in enumerate(found) if n not in taken]
    return chains


def _joined_around_wall(found: Sequence[Blob]) -> list[Blob]:
    """Keep the larger of two parts of an object whose middle a wall hides."""
    kept: list[Blob] = []
    for blob in sorted(found, key=lambda item: -item.area):
        if not any(
            blob.is_hidden and other.is_hidden and blob.colour == other.colour
            for other in kept
        ):
            kept.append(blob)
    return kept


def _cost(chain: Sequence[Blob], blob: Blob) -> float:
    """Return how unlikely it is that a blob is what a chain shows."""
    last = chain[-1]
    gap = blob.frame - last.frame  # an object may be behind a wall for a while
    far = float(np.linalg.norm(blob.centre - last.centre)) / (_FARTHEST * gap)
    ratio = abs(math.log(blob.area / last.area))
    largest = max(chain[-_RECENT:], key=lambda item: item.area)
    is_other = largest.colour != blob.colour
    if last.is_hidden or blob.is_hidden:
        # Slivers beside a wall have no sure place, size or colour.
        return far / 2 + _COLOUR_COST * is_other + _SIZE_COST * ratio / 4
    return far + _COLOUR_COST * is_other * gap + _SIZE_COST * ratio


def measure_track(chain: Sequence[Blob]) -> Track:
    """Measure a chain of blobs, by vote over the frames that show all of it."""
    area = np.array([blob.area for blob in chain])
    is_hidden = np.array([blob.is_hidden for blob in chain])
    if is_hidden.all():  # it fits barely beside the wall
        is_hidden = area < 0.9 * area.max()
    votes: dict[str, float] = {}
    for number in np.flatnonzero(~is_hidden).tolist():
        colour = chain[number].colour
        votes[colour] = votes.get(colour, 0.0) + area[number]
    likeness = np.stack([shape_templates.likeness(blob.patch) for blob in chain])
    shape = shape_templates.name_shape(likeness[~is_hidden])
    return Track(
        colour=max(votes, key=lambda name: votes[name]),
        shape=shape,
        frames=np.array([blob.frame for blob in chain]),
        centre=np.stack([blob.centre for blob in chain]),
        radius=np.sqrt(area / shape_templates.area_of(shape)),
        angle=shape_templates.read_angle(likeness, shape),
        is_hidden=is_hidden,
    )


def segment_clip(clip: Float32[np.ndarray, "t h w 3"]) -> segmentation.Segmentation:
    """Segment a clip in [-1, 1] that has no cut."""
    pixels = (np.clip(np.nan_to_num(clip), -1.0, 1.0) + 1.0) / 2.0
    return segmentation.segment(backdrop.fit(pixels, backdrop.costs(pixels)))


def positions(clip: Float32[np.ndarray, "t h w 3"]) -> Float[np.ndarray, "t 2"]:
    """Return (x, y) of the largest object in each frame, in world units, or NaN."""
    result = np.full((len(clip), 2), math.nan)
    for frame, blobs in enumerate(segment_clip(clip).blobs):
        if blobs:
            result[frame] = max(blobs, key=lambda blob: blob.area).centre
    return result


def distances(
    seen: Float[np.ndarray, "t 2"], true: Float[np.ndarray, "t 2"]
) -> Float[np.ndarray, " t"]:
    """Return how far objects are from where they should be, at most a view's side."""
    apart = np.hypot(*(seen - true).T)
    return np.minimum(np.nan_to_num(apart, nan=_FAR), _FAR)

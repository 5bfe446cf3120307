"""Find how objects are related: beside, above, in a collision, behind a wall."""

from __future__ import annotations

import itertools

import numpy as np

from sora_jax.worlds.playground import world
from sora_jax.worlds.playground.judge import tracking

_UNSEEN = 0.7  # of the radius: half of the area
_NEAR = 0.04  # units that objects may overlap or stay apart


def find_relations(
    tracks: list[tracking.Track], wall: world.Wall | None, fps: float
) -> list[tuple[str, int, int]]:
    """Return all relations that hold, such as ("left of", 0, 1), by track."""
    found = []
    for (one, first), (two, second) in itertools.permutations(enumerate(tracks), 2):
        shared, in_first, in_second = np.intersect1d(
            first.frames, second.frames, return_indices=True
        )
        if not len(shared):
            continue
        places = first.centre[in_first], second.centre[in_second]
        radii = first.radius[in_first], second.radius[in_second]
        shapes = world.SHAPES[first.shape], world.SHAPES[second.shape]
        right = places[0][:, 0] + shapes[0].side * radii[0]
        left = places[1][:, 0] - shapes[1].side * radii[1]
        bottom = places[0][:, 1] + shapes[0].foot * radii[0]
        top = places[1][:, 1] - shapes[1].head * radii[1]
        if (left - right).min() > -_NEAR:
            found.append(("left of", one, two))
        if (top - bottom).min() > -_NEAR:
            found.append(("above", one, two))
        if _collide(shared / fps, *places, left - right):
            found.append(("collide", one, two))
    if wall is not None:
        found += [
            ("behind", number, number)
            for number, item in enumerate(tracks)
            if _passes(item, wall)
        ]
    return found


def _collide(
    time: np.ndarray, first: np.ndarray, second: np.ndarray, gap: np.ndarray
) -> bool:
    """Say whether two objects meet on one level, and swap their speeds."""
    place = int(np.argmin(gap))
    if abs(gap[place]) > 0.12 or place < 2 or place > len(gap) - 3:
        return False
    if np.abs(first[:, 1] - second[:, 1]).max() > 0.15:
        return False
    before, after = slice(0, place), slice(place + 1, None)
    speeds = [
        [np.polyfit(time[part], item[part, 0], 1)[0] for part in (before, after)]
        for item in (first, second)
    ]
    (one_before, one_after), (two_before, two_after) = speeds
    closing, parting = one_before - two_before, two_after - one_after
    if closing * (time[place] - time[0]) < _NEAR or parting <= 0.0:
        return False
    swapped = max(abs(one_after - two_before), abs(two_after - one_before))
    return bool(swapped < 0.5 * closing)


def _passes(item: tracking.Track, wall: world.Wall) -> bool:
    """Say whether an object crosses a wall from side to side, unseen between."""
    middle, width = (wall.left + wall.right) / 2, wall.right - wall.left
    first, last = item.centre[[0, -1], 0]
    if (first - middle) * (last - middle) >= 0:
        return False
    frames = np.arange(item.frames[0], item.frames[-1] + 1)
    inside = np.abs(np.interp(frames, item.frames[[0, -1]], [first, last]) - middle)
    behind = frames[inside <= max(width / 4, inside.min())]
    size = np.median(item.radius[~item.is_hidden])
    seen = item.radius[np.isin(item.frames, behind)]
    return bool((seen < _UNSEEN * size).all())

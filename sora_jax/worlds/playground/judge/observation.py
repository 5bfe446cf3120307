"""Read a video blindly: pixels in, the facts that they show out.

The reader knows the world's tables and laws, and nothing about the clip.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from jaxtyping import Float32

from sora_jax.evals import backdrop, cuts, motion, segment, track
from sora_jax.worlds.playground import world

_SHORTEST = 7  # frames of a stretch, where there is a cut
_FEWEST = 17  # frames of a clip that may have a cut
_OFTEN = 0.6  # of the frames that show anything, for a thing to count
_UNSEEN = 0.7  # of the radius: half of the area
_NEAR = 0.04  # units that things may overlap or stay apart


@dataclasses.dataclass(frozen=True, kw_only=True)
class Thing:
    """An object, and what it is seen to do.

    Attributes:
      colour: a name in `segment.NAMES`.
      shape: a name in `world.SHAPES`.
      size: a name in `world.DIAMETERS`.
      motion: a name in `world.MOTIONS`, another one, or "" in a single frame.
      gravity: the acceleration of a bounce in units / s².
    """

    colour: str
    shape: str
    size: str
    motion: str
    gravity: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """What a stretch of a video shows.

    Attributes:
      start: first frame.
      stop: one past the last frame.
      background: a name in `world.BACKGROUNDS`.
      camera: a name in `world.CAMERAS`.
      light: a name in `world.LIGHTS`.
      things: the objects.
      relations: such as ("left of", 0, 1): all that hold, with numbers of things.
    """

    start: int
    stop: int
    background: str
    camera: str
    light: str
    things: tuple[Thing, ...]
    relations: frozenset[tuple[str, int, int]]


def read(pixels: Float32[np.ndarray, "t h w 3"], fps: float) -> tuple[Reading, ...]:
    """Read a clip.

    Args:
      pixels: in [-1, 1].
      fps: frames per second.

    Returns:
      A reading for each stretch: two if there is a cut, else one.
    """
    pixels = (np.clip(np.nan_to_num(pixels), -1.0, 1.0) + 1.0) / 2.0
    costs = backdrop.costs(pixels)
    frames = len(pixels)
    cut = 0
    if frames >= _FEWEST:
        place, surety = backdrop.find_cut(costs, _SHORTEST)
        cut = place if surety > 1.0 else 0
    if not cut:
        whole = _see(pixels, costs)
        if frames >= _FEWEST:
            cut = _find_change(whole, frames)
        if not cut:
            return (_interpret(whole, 0, fps),)
    parts = ((0, cut), (cut, frames))
    return tuple(
        _interpret(_see(pixels[start:stop], costs[start:stop]), start, fps)
        for start, stop in parts
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Seen:
    backdrop: backdrop.Backdrop
    things: segment.Things
    chains: list[list[segment.Blob]]


def _see(pixels: np.ndarray, costs: np.ndarray) -> _Seen:
    behind = backdrop.fit(pixels, costs)
    things = segment.find_things(behind)
    return _Seen(backdrop=behind, things=things, chains=track.link(things.blobs))


def _find_change(seen: _Seen, frames: int) -> int:
    """Return where there is a cut although the backdrop stays; 0 for nowhere."""
    return (
        cuts.find_light_jump(seen.backdrop.brightness, _SHORTEST)
        or cuts.find_switch(seen.things.has_wall, _SHORTEST)
        or cuts.find_replacement(seen.chains, frames, _SHORTEST)
    )


def _interpret(seen: _Seen, start: int, fps: float) -> Reading:
    frames = len(seen.backdrop.zoom)
    counts = [len(blobs) for blobs in seen.things.blobs]
    shown = max(1, sum(count > 0 for count in counts))
    tracks = [
        track.measure(chain) for chain in seen.chains if len(chain) > _OFTEN * shown
    ]
    return Reading(
        start=start,
        stop=start + frames,
        background=seen.backdrop.background,
        camera=seen.backdrop.camera,
        light=seen.backdrop.light,
        things=tuple(_name(item, fps) for item in tracks),
        relations=frozenset(_relations(tracks, seen.things.wall, fps)),
    )


def _name(item: track.Track, fps: float) -> Thing:
    moves = motion.name_motion(item, fps)
    diameter = 2 * float(np.median(item.radius[~item.is_hidden]))
    size = min(
        world.DIAMETERS, key=lambda name: abs(np.log(world.DIAMETERS[name] / diameter))
    )
    return Thing(
        colour=item.colour,
        shape=item.shape,
        size=size,
        motion=moves,
        gravity=motion.gravity(item, fps) if moves == "bounce" else None,
    )


def _relations(
    tracks: list[track.Track], wall: world.Wall | None, fps: float
) -> list[tuple[str, int, int]]:
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
    """Say whether two things meet on one level, and swap their speeds."""
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


def _passes(item: track.Track, wall: world.Wall) -> bool:
    """Say whether a thing goes from one side of a wall to the other, unseen between."""
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

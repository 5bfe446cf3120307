"""Observe a video: read facts from its pixels.

The observer uses the world's tables and physics, but no truth of the clip.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float32

from sora_jax.worlds.playground import world
from sora_jax.worlds.playground.judge import (
    backdrop,
    cuts,
    motion,
    relations,
    segmentation,
    tracking,
)

_SHORTEST = 7  # frames of a stretch, where there is a cut
_FEWEST = 17  # frames of a clip that may have a cut
_OFTEN = 0.6  # of the frames that show anything, for an object to count


@dataclasses.dataclass(frozen=True, kw_only=True)
class Object:
    """An observed object and its motion.

    Attributes:
      colour: a name in `segmentation.NAMES`.
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
class Observation:
    """The observed facts of a stretch of a video.

    Attributes:
      start: first frame.
      stop: one past the last frame.
      background: a name in `world.BACKGROUNDS`.
      camera: a name in `world.CAMERAS`.
      light: a name in `world.LIGHTS`.
      objects: all but the wall.
      relations: such as ("left of", 0, 1): all that hold, with numbers of objects.
    """

    start: int
    stop: int
    background: str
    camera: str
    light: str
    objects: tuple[Object, ...]
    relations: frozenset[tuple[str, int, int]]


def observe(
    pixels: Float32[np.ndarray, "t h w 3"], fps: float
) -> tuple[Observation, ...]:
    """Observe a clip.

    Args:
      pixels: in [-1, 1].
      fps: frames per second.

    Returns:
      An observation for each stretch: two if there is a cut, else one.
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
    segments: segmentation.Segmentation
    chains: list[list[segmentation.Blob]]


def _see(pixels: np.ndarray, costs: np.ndarray) -> _Seen:
    behind = backdrop.fit(pixels, costs)
    segments = segmentation.segment(behind)
    return _Seen(
        backdrop=behind, segments=segments, chains=tracking.link_blobs(segments.blobs)
    )


def _find_change(seen: _Seen, frames: int) -> int:
    """Find a cut without a change of backdrop; 0 if none."""
    return (
        cuts.find_light_jump(seen.backdrop.brightness, _SHORTEST)
        or cuts.find_switch(seen.segments.has_wall, _SHORTEST)
        or cuts.find_replacement(seen.chains, frames, _SHORTEST)
    )


def _interpret(seen: _Seen, start: int, fps: float) -> Observation:
    frames = len(seen.backdrop.zoom)
    counts = [len(blobs) for blobs in seen.segments.blobs]
    shown = max(1, sum(count > 0 for count in counts))
    tracks = [
        tracking.measure_track(chain)
        for chain in seen.chains
        if len(chain) > _OFTEN * shown
    ]
    return Observation(
        start=start,
        stop=start + frames,
        background=seen.backdrop.background,
        camera=seen.backdrop.camera,
        light=seen.backdrop.light,
        objects=tuple(_name(item, fps) for item in tracks),
        relations=frozenset(relations.find_relations(tracks, seen.segments.wall, fps)),
    )


def _name(item: tracking.Track, fps: float) -> Object:
    moves = motion.name_motion(item, fps)
    diameter = 2 * float(np.median(item.radius[~item.is_hidden]))
    size = min(
        world.DIAMETERS, key=lambda name: abs(np.log(world.DIAMETERS[name] / diameter))
    )
    return Object(
        colour=item.colour,
        shape=item.shape,
        size=size,
        motion=moves,
        gravity=motion.gravity(item, fps) if moves == "bounce" else None,
    )

"""Draw the scene of an index.

Random numbers are always drawn in the same order, so an index is the same scene at
every size of one aspect ratio.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from sora_jax.config import PlaygroundConfig
from sora_jax.worlds.playground import looks, physics, staging, turns, world
from sora_jax.worlds.playground.chance import choose, generator, pick

SPLITS = ("train", "test")
# The simpler kind that replaces one that needs more frames.
_SIMPLER = {"collide": "two", "behind": "one", "cut": "one", "turn": "one"}
_SHORTEST_STRETCH = 8  # frames, in which an event can be told
# What two can do beside and above each other without getting in each other's way.
_BESIDE = ("still", "up", "down", "bounce", "spin")
_ABOVE = ("still", "right", "left", "spin")
_CAMERA_MOVES = 0.4  # the share of clips, where the motion allows it
_LIGHTS = (("steady", 0.7), ("dusk", 0.15), ("dawn", 0.15))


def draw_scene(
    config: PlaygroundConfig, index: int, size: tuple[int, int] | None = None
) -> world.Scene:
    """Draw the scene of an index.

    Args:
      config: the playground's settings.
      index: which clip.
      size: (height, width) in pixels, if not the one drawn from the settings.
    """
    rng = generator(config.seed, SPLITS.index(config.split), index)
    frames = pick(rng, config.frames)
    drawn_size = pick(rng, config.sizes)
    height, width = size or drawn_size
    cuts = _cuts(frames, config.time_factor)
    kind = _told_in(frames, pick(rng, config.kinds), cuts)
    bounds = [0, frames]
    parts = [kind]
    if kind in ("cut", "turn"):
        bounds.insert(1, choose(rng, cuts))
    if kind == "cut":
        kinds = [pair for pair in config.kinds if pair[0] not in ("cut", "turn")]
        kinds = kinds or [("one", 1.0)]
        parts = [
            _told_in(stop - start, pick(rng, kinds), cuts)
            for start, stop in pairwise(bounds)
        ]
    view = world.view_of(height, width)
    if kind == "turn":
        stretches = _draw_turn(rng, config, bounds, view)
    else:
        stretches = tuple(
            _draw_stretch(rng, config, part, span, view)
            for part, span in zip(parts, pairwise(bounds), strict=True)
        )
    return world.Scene(
        height=height,
        width=width,
        frames=frames,
        fps=config.fps,
        view=view,
        stretches=stretches,
    )


def _cuts(frames: int, time_factor: int) -> range:
    """Return the frames at which a clip can be cut.

    The first latent frame is one frame and every other `time_factor` frames; a cut
    comes where one begins, and leaves enough frames on both sides.
    """
    latents = -(-(_SHORTEST_STRETCH - 1) // time_factor)
    first = 1 + latents * time_factor
    return range(first, frames - _SHORTEST_STRETCH + 1, time_factor)


def _told_in(frames: int, kind: str, cuts: range) -> str:
    """Return a kind, or a simpler one where the frames are too few for it."""
    is_long = bool(cuts) if kind in ("cut", "turn") else frames >= _SHORTEST_STRETCH
    return kind if is_long else _SIMPLER.get(kind, kind)


def _draw_stretch(
    rng: np.random.Generator,
    config: PlaygroundConfig,
    kind: str,
    span: tuple[int, int],
    view: tuple[float, float],
) -> world.SceneStretch:
    start, stop = span
    is_image = stop - start == 1
    motions, relation = _draw_motions(rng, kind, is_image)
    backgrounds = world.FLOORS if "bounce" in motions else tuple(world.BACKGROUNDS)
    background = choose(rng, backgrounds)
    camera = _draw_camera(rng, kind, motions[0])
    light = pick(rng, _LIGHTS)
    if is_image:
        camera, light = "still", "steady"
    time = np.arange(stop - start) / config.fps
    stage = staging.set_stage(background, camera, view, time)
    drawn = looks.draw_looks(rng, config.split, motions, relation)
    bodies, wall = staging.play(relation, rng, stage, drawn)
    eye, zoom = physics.camera(camera, view, physics.phase(time))
    return world.SceneStretch(
        start=start,
        stop=stop,
        background=background,
        camera=camera,
        light=light,
        relation=relation,
        bodies=bodies,
        wall=wall,
        eye=eye,
        zoom=zoom,
        brightness=physics.brightness(light, physics.phase(time)),
    )


def _draw_turn(
    rng: np.random.Generator,
    config: PlaygroundConfig,
    bounds: Sequence[int],
    view: tuple[float, float],
) -> tuple[world.SceneStretch, ...]:
    """Draw one body that does one thing, and then another, under a still camera."""
    background = choose(rng, tuple(world.BACKGROUNDS))
    options = turns.STANDING if background in world.FLOORS else turns.MOTIONS
    first = choose(rng, options)
    then = choose(rng, [name for name in options if name != first])
    look = looks.draw_turning(rng, config.split, first, then)
    time = np.arange(bounds[-1]) / config.fps
    stage = staging.set_stage(background, "still", view, time)
    bodies = turns.turn(rng, stage, look, then, bounds[1])
    eye, zoom = physics.camera("still", view, physics.phase(time))
    return tuple(
        world.SceneStretch(
            start=start,
            stop=stop,
            background=background,
            camera="still",
            light="steady",
            relation="",
            bodies=(body,),
            wall=None,
            eye=eye[start:stop],
            zoom=zoom[start:stop],
            brightness=np.ones(stop - start),
            goes_on=start > 0,
        )
        for body, (start, stop) in zip(bodies, pairwise(bounds), strict=True)
    )


def _draw_motions(
    rng: np.random.Generator, kind: str, is_image: bool
) -> tuple[tuple[str, ...], str]:
    """Draw what each body does, and their relation."""
    if kind == "collide":
        return ("collide", "collide"), "collide"
    if kind == "behind":
        return (choose(rng, ("right", "left")),), "behind"
    if kind == "one":
        pairs = [(name, motion.weight) for name, motion in world.MOTIONS.items()]
        motions, relation = (pick(rng, pairs),), ""
    else:
        relation = choose(rng, ("left of", "above"))
        options = _BESIDE if relation == "left of" else _ABOVE
        motions = (choose(rng, options), choose(rng, options))
    return ("still",) * len(motions) if is_image else motions, relation


def _draw_camera(rng: np.random.Generator, kind: str, motion: str) -> str:
    """Draw a camera under which the motion can still be told."""
    moves = rng.random() < _CAMERA_MOVES
    cameras = world.MOTIONS[motion].cameras if kind == "one" else ("still",)
    drawn = choose(rng, cameras[1:] or ("still",))
    return drawn if moves else "still"

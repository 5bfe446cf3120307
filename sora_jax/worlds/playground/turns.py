"""A body that turns: one motion, then another, without a cut.

A stage and what the body does before and after go in; the body's two stretches come
out, the second from where the first ends. Storyboards without a cut look like this.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from sora_jax.worlds.playground import moves, physics, world

# What can follow each other in one place; those that stand, on a floor.
MOTIONS = ("still", "right", "left", "up", "down")
STANDING = ("still", "right", "left")
_NEAR_EDGE = 0.25  # of the room: how far from its edge a body turns at most
_LEAST = 0.75  # of the way that is free, how much a leg covers at least


def turn(
    rng: np.random.Generator,
    stage: moves.Stage,
    look: moves.Look,
    then: str,
    at: int,
) -> tuple[world.Body, world.Body]:
    """Move a body along, and from a frame on otherwise.

    Args:
      rng: draws where it turns, and how far it goes.
      stage: where it has room, in every frame.
      look: what it is, and how it moves first.
      then: how it moves from there.
      at: the frame at which it turns.
    """
    radius = world.DIAMETERS[look.size] / 2
    draws = rng.random(4)
    room = moves.room_of(stage, look, radius, draws)
    before, after = (
        np.array(world.MOTIONS[name].direction) for name in (look.motion, then)
    )
    corners = np.array([[room.left, room.top], [room.right, room.bottom]])
    turning = _turning_point(corners, np.sign(before - after), draws[1:3])
    if room.ground is not None:
        turning[1] = room.y(world.SHAPES[look.shape].foot * radius)
    start = turning - before * _way(corners, turning, -before) * _covered(draws[0])
    stop = turning + after * _way(corners, turning, after) * _covered(draws[3])
    # The frame of the turn is the second stretch's first.
    first = physics.line(start, turning, physics.phase(stage.time[: at + 1]))[:at]
    second = physics.line(
        turning, stop, physics.phase(stage.time[at:] - stage.time[at])
    )
    later = dataclasses.replace(look, motion=then)
    return (
        moves.body_of(look, at, first[:, 0], first[:, 1], radius),
        moves.body_of(later, len(second), second[:, 0], second[:, 1], radius),
    )


def _covered(draw: float) -> float:
    return _LEAST + (1 - _LEAST) * draw


def _turning_point(
    corners: Float[np.ndarray, "2 2"],
    pull: Int[np.ndarray, " 2"],
    draws: Float[np.ndarray, " 2"],
) -> Float[np.ndarray, " 2"]:
    """Turn near the edge that the body runs up to, or away from; else anywhere."""
    near = _NEAR_EDGE * draws
    share = np.select([pull > 0, pull < 0], [1 - near, near], draws)
    return corners[0] + share * (corners[1] - corners[0])


def _way(
    corners: Float[np.ndarray, "2 2"],
    place: Float[np.ndarray, " 2"],
    direction: Int[np.ndarray, " 2"],
) -> Float[np.ndarray, " 2"]:
    """Return how far it is to the edge in a direction, along each axis."""
    return np.abs(np.where(direction > 0, corners[1] - place, place - corners[0]))

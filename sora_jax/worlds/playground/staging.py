"""Set a stage, and place bodies on it in a relation to each other or to a wall."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from sora_jax.worlds.playground import moves, physics, world
from sora_jax.worlds.playground.chance import choose
from sora_jax.worlds.playground.moves import Look, Stage

_MARGIN = 0.015  # units kept free at the border of the image


def set_stage(
    background: str, camera: str, view: tuple[float, float], time: np.ndarray
) -> Stage:
    """Return the part of the world that stays in sight of a camera."""
    eye, zoom = physics.camera(camera, view, physics.phase(time))
    half = np.array(view) / 2 / zoom[:, None]
    left, top = (eye - half).max(axis=0) + _MARGIN
    right, bottom = (eye + half).min(axis=0) - _MARGIN
    has_floor = background in world.FLOORS
    return Stage(
        view=view,
        left=left,
        right=right,
        top=top,
        bottom=world.FLOOR_LINE * view[1] if has_floor else bottom,
        has_floor=has_floor,
        time=time,
    )


def play(
    relation: str, rng: np.random.Generator, stage: Stage, looks: Sequence[Look]
) -> tuple[tuple[world.Body, ...], world.Wall | None]:
    """Place bodies in a relation to each other, and a wall if they need one."""
    if relation and min(stage.view) < 1.0:  # too narrow for two of more than small
        looks = [dataclasses.replace(look, size="small") for look in looks]
    if relation == "behind":
        return _play_behind(rng, stage, looks[0])
    if relation == "collide":
        return _play_collision(rng, stage, looks), None
    parts = _halves(stage, relation) if relation else (stage,)
    bodies = (moves.move(rng, *pair) for pair in zip(parts, looks, strict=True))
    return tuple(bodies), None


def _halves(stage: Stage, relation: str) -> tuple[Stage, Stage]:
    if relation == "left of":
        middle = (stage.left + stage.right) / 2
        return (
            dataclasses.replace(stage, right=middle - _MARGIN),
            dataclasses.replace(stage, left=middle + _MARGIN),
        )
    middle = (stage.top + stage.bottom) / 2
    return (
        dataclasses.replace(stage, bottom=middle - _MARGIN, has_floor=False),
        dataclasses.replace(stage, top=middle + _MARGIN),
    )


def _play_collision(
    rng: np.random.Generator, stage: Stage, looks: Sequence[Look]
) -> tuple[world.Body, ...]:
    """Let two bodies of one size, and so of one mass, run into each other."""
    looks = [dataclasses.replace(look, size=looks[0].size) for look in looks]
    radius = world.DIAMETERS[looks[0].size] / 2
    left, right = (world.SHAPES[look.shape].side * radius for look in looks)
    touch = (stage.left + stage.right) / 2 + left - right
    duration = stage.time[-1]
    at = duration * (0.4 + 0.2 * rng.random())
    space = min(touch - 2 * left - stage.left, stage.right - touch - 2 * right)
    speed = space / max(at, duration - at) * (0.8 + 0.2 * rng.random())
    speeds = choose(rng, ((speed, -speed), (speed, 0.0), (0.0, -speed)))
    tracks = physics.collide((touch - left, touch + right), speeds, at, stage.time)
    draws = np.full(4, rng.random())  # the same height for both
    bodies = []
    for look, x in zip(looks, tracks, strict=True):
        y = moves.room_of(stage, look, radius, draws).y(
            world.SHAPES[look.shape].foot * radius
        )
        bodies.append(moves.body_of(look, len(x), x, y, radius))
    return tuple(bodies)


def _play_behind(
    rng: np.random.Generator, stage: Stage, look: Look
) -> tuple[tuple[world.Body, ...], world.Wall]:
    """Let a body go from one side of a wall to the other."""
    stage = dataclasses.replace(stage, top=0.15 * stage.view[1])
    body = moves.move(rng, stage, look, least=1.0)
    width = 2 * world.SHAPES[look.shape].side * body.radius[0]
    # Wide enough to hide it, and not so wide as to hide it from the first.
    half = min(1.3 * width, stage.view[0] - 2 * width - 4 * _MARGIN) / 2
    middle = stage.view[0] / 2
    wall = world.Wall(
        left=middle - half,
        right=middle + half,
        top=0.1 * stage.view[1],
        bottom=stage.bottom if stage.has_floor else stage.view[1],
    )
    visible = physics.visible(look.shape, body.centre, body.radius, wall)
    return (dataclasses.replace(body, visible=visible),), wall

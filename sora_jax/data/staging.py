"""Place bodies on a stage, so that they do what they should and stay in sight.

A stage (a part of the world, for a while) and looks (what each body is and does) go in;
bodies with a place for every frame come out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from sora_jax.data import physics, world
from sora_jax.data.chance import choose

_MARGIN = 0.015  # units kept free at the border of the image
_HIGHEST_DROP = 0.6  # units


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
    """What a body is and does; the names are those in the tables of `world`."""

    colour: str
    shape: str
    size: str
    motion: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """Where and when bodies play.

    Attributes:
      view: (width, height) of the image in world units.
      left: the stage's edge; with the others, what is in sight in every frame.
      right: likewise.
      top: likewise.
      bottom: likewise, or the floor.
      has_floor: whether the bottom is a floor to stand on.
      time: of each frame.
    """

    view: tuple[float, float]
    left: float
    right: float
    top: float
    bottom: float
    has_floor: bool
    time: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Room:
    """Where the centre of one body may be, and the body's own luck in [0, 1]."""

    left: float
    right: float
    top: float
    bottom: float
    ground: float | None  # what it stands on, if it stands
    time: np.ndarray
    share: float  # how much of its room it uses
    across: float  # where in the room
    up: float
    pace: float

    @property
    def x(self) -> float:
        return self.left + self.across * (self.right - self.left)

    def y(self, foot: float) -> float:
        if self.ground is not None:
            return self.ground - foot
        return self.top + self.up * (self.bottom - self.top)


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
    bodies = (_move(rng, *pair) for pair in zip(parts, looks, strict=True))
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
    luck = np.full(4, rng.random())  # the same height for both
    bodies = []
    for look, x in zip(looks, tracks, strict=True):
        y = _room(stage, look, radius, luck).y(world.SHAPES[look.shape].foot * radius)
        bodies.append(_body(look, len(x), x, y, radius))
    return tuple(bodies)


def _play_behind(
    rng: np.random.Generator, stage: Stage, look: Look
) -> tuple[tuple[world.Body, ...], world.Wall]:
    """Let a body go from one side of a wall to the other."""
    stage = dataclasses.replace(stage, top=0.15 * stage.view[1])
    body = _move(rng, stage, look, least=1.0)
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


def _room(stage: Stage, look: Look, radius: float, luck: np.ndarray) -> _Room:
    shape = world.SHAPES[look.shape]
    side, head, foot = shape.side, shape.head, shape.foot
    if look.motion == "spin":
        side = head = foot = shape.reach
    stands = stage.has_floor and world.MOTIONS[look.motion].stands
    share, across, up, pace = luck
    return _Room(
        left=stage.left + side * radius,
        right=stage.right - side * radius,
        top=stage.top + head * radius,
        bottom=stage.bottom - foot * radius,
        ground=stage.bottom if stands else None,
        time=stage.time,
        share=share,
        across=across,
        up=up,
        pace=pace,
    )


def _move(
    rng: np.random.Generator, stage: Stage, look: Look, least: float = 0.75
) -> world.Body:
    """Move a body about; a straight line covers at least that much of the room."""
    radius = world.DIAMETERS[look.size or "big"] / 2
    foot = world.SHAPES[look.shape].foot
    room = _room(stage, look, radius, rng.random(4))
    x, y, num_frames = room.x, room.y(foot * radius), len(room.time)
    match look.motion:
        case "grow" | "shrink":
            radii = _growth(look.motion, physics.phase(room.time))
            heights = np.array([room.y(foot * radius) for radius in radii])
            return _body(look, num_frames, x, heights, radii)
        case "spin":
            turn = room.time * np.radians(60 + 90 * room.pace)
            return _body(look, num_frames, x, y, radius, turn)
        case "bounce":
            drop = min(y - room.top, _HIGHEST_DROP) * (0.7 + 0.3 * room.up)
            return _body(
                look, num_frames, x, y - physics.bounce(drop, room.time), radius
            )
        case "circle":
            orbit_x, orbit_y = _orbit(room).T
            return _body(look, num_frames, orbit_x, orbit_y, radius)
    line_x, line_y = _straight(room, look.motion, (x, y), least).T
    return _body(look, num_frames, line_x, line_y, radius)


def _growth(motion: str, phase: np.ndarray) -> np.ndarray:
    small, big = world.DIAMETERS["small"] / 2, world.DIAMETERS["big"] / 2
    return small + (phase if motion == "grow" else 1.0 - phase) * (big - small)


def _orbit(room: _Room) -> np.ndarray:
    width, height = room.right - room.left, room.bottom - room.top
    radius = min(width, height) / 2 * (0.7 + 0.3 * room.share)
    middle = (
        room.left + radius + room.across * (width - 2 * radius),
        room.top + radius + room.up * (height - 2 * radius),
    )
    turns = max(1.0, room.time[-1] / (2.0 + 2.0 * room.pace))
    angle = 2 * np.pi * (room.share + turns * physics.phase(room.time))
    return physics.circle(middle, radius, angle)


def _straight(
    room: _Room, motion: str, place: tuple[float, float], least: float
) -> np.ndarray:
    direction = np.array(world.MOTIONS[motion].direction)
    space = np.array([room.right - room.left, room.bottom - room.top])
    length = np.where(direction.all(), space.min(), space)  # a diagonal is at 45°
    length = np.abs(direction) * length * (least + (1 - least) * room.share)
    near = np.where(direction > 0, (room.left, room.top), (room.right, room.bottom))
    start = near + direction * (space - length) * (room.across, room.up)
    start = np.where(direction == 0, place, start)
    return physics.line(start, start + direction * length, physics.phase(room.time))


def _body(
    look: Look,
    num_frames: int,
    x: np.ndarray | float,
    y: np.ndarray | float,
    radius: np.ndarray | float,
    angle: np.ndarray | float = 0.0,
) -> world.Body:
    x, y, radius, angle = (
        np.broadcast_to(np.asarray(item, np.float64), num_frames)
        for item in (x, y, radius, angle)
    )
    return world.Body(
        **dataclasses.asdict(look),
        centre=np.stack([x, y], axis=-1),
        radius=radius,
        angle=angle,
        visible=np.ones(num_frames),
    )

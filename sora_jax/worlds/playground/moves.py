"""Move a body on a stage so that it stays in sight.

A stage is a part of the world over some frames, a look is a body's appearance and
motion; the result is a body with a position in every frame.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from sora_jax.worlds.playground import physics, world

_HIGHEST_DROP = 0.6  # units


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
    """Appearance and motion of a body, by names in the tables of `world`."""

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
class Room:
    """Where the centre of one body may be, and random numbers in [0, 1] for it."""

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
        """Where across the room the body is, if it does not move."""
        return self.left + self.across * (self.right - self.left)

    def y(self, foot: float) -> float:
        """How high it is: on the ground, its foot that far below, or in the air."""
        if self.ground is not None:
            return self.ground - foot
        return self.top + self.up * (self.bottom - self.top)


def room_of(stage: Stage, look: Look, radius: float, draws: np.ndarray) -> Room:
    """Return where on a stage a body has room; `draws` is four numbers in [0, 1]."""
    shape = world.SHAPES[look.shape]
    side, head, foot = shape.side, shape.head, shape.foot
    if look.motion == "spin":
        side = head = foot = shape.reach
    stands = stage.has_floor and world.MOTIONS[look.motion].stands
    share, across, up, pace = draws
    return Room(
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


def move(
    rng: np.random.Generator, stage: Stage, look: Look, least: float = 0.75
) -> world.Body:
    """Move a body; a straight line covers at least `least` of the room."""
    radius = world.DIAMETERS[look.size or "big"] / 2
    foot = world.SHAPES[look.shape].foot
    room = room_of(stage, look, radius, rng.random(4))
    x, y, num_frames = room.x, room.y(foot * radius), len(room.time)
    match look.motion:
        case "grow" | "shrink":
            radii = _growth(look.motion, physics.phase(room.time))
            heights = np.array([room.y(foot * radius) for radius in radii])
            return body_of(look, num_frames, x, heights, radii)
        case "spin":
            turn = room.time * np.radians(60 + 90 * room.pace)
            return body_of(look, num_frames, x, y, radius, turn)
        case "bounce":
            drop = min(y - room.top, _HIGHEST_DROP) * (0.7 + 0.3 * room.up)
            return body_of(
                look, num_frames, x, y - physics.bounce(drop, room.time), radius
            )
        case "circle":
            orbit_x, orbit_y = _orbit(room).T
            return body_of(look, num_frames, orbit_x, orbit_y, radius)
    line_x, line_y = _straight(room, look.motion, (x, y), least).T
    return body_of(look, num_frames, line_x, line_y, radius)


def _growth(motion: str, phase: np.ndarray) -> np.ndarray:
    small, big = world.DIAMETERS["small"] / 2, world.DIAMETERS["big"] / 2
    return small + (phase if motion == "grow" else 1.0 - phase) * (big - small)


def _orbit(room: Room) -> np.ndarray:
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
    room: Room, motion: str, place: tuple[float, float], least: float
) -> np.ndarray:
    direction = np.array(world.MOTIONS[motion].direction)
    space = np.array([room.right - room.left, room.bottom - room.top])
    length = np.where(direction.all(), space.min(), space)  # a diagonal is at 45°
    length = np.abs(direction) * length * (least + (1 - least) * room.share)
    near = np.where(direction > 0, (room.left, room.top), (room.right, room.bottom))
    start = near + direction * (space - length) * (room.across, room.up)
    start = np.where(direction == 0, place, start)
    return physics.line(start, start + direction * length, physics.phase(room.time))


def body_of(
    look: Look,
    num_frames: int,
    x: np.ndarray | float,
    y: np.ndarray | float,
    radius: np.ndarray | float,
    angle: np.ndarray | float = 0.0,
) -> world.Body:
    """Return a body; what is one number is the same in every frame."""
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

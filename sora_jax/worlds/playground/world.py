"""The vocabulary of the playground: what can be in a scene, and a scene's ground truth.

Tables of shapes, colours, sizes, backgrounds, motions, cameras and lights come first,
then the structs that hold what is where in every frame.

Lengths are in world units: an image of height h and width w pixels shows a view of
area 1, so that one unit is sqrt(h * w) pixels. x grows to the right and y downward from
the view's top left corner. Angles are in radians, clockwise. Times are in seconds.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from sora_jax.worlds.playground.shapes import SHAPES as SHAPES

GRAVITY = 2.0  # units / s², the same in every clip
RESTITUTION = 0.95  # speed kept by a bounce on the floor
FLOOR_LINE = 0.82  # the floor's upper edge, as a fraction of the view's height
PAN_DISTANCE = 0.3  # fraction of the view's width
ZOOM_RATIO = 1.4
DUSK_BRIGHTNESS = 0.6

# RGB in [0, 1]. The objects are saturated; everything behind them is muted.
COLOURS = {
    "red": (0.87, 0.11, 0.13),
    "orange": (1.00, 0.53, 0.05),
    "yellow": (1.00, 0.88, 0.10),
    "green": (0.09, 0.62, 0.20),
    "cyan": (0.05, 0.80, 0.86),
    "blue": (0.13, 0.26, 0.90),
    "purple": (0.50, 0.14, 0.68),
    "pink": (1.00, 0.48, 0.76),
}
WALL_COLOUR = (0.36, 0.36, 0.38)
DIAMETERS = {"small": 0.2, "medium": 0.29, "big": 0.42}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Background:
    """What is behind the objects: two tones of a pattern, perhaps above a floor.

    Attributes:
      pattern: a name in `render.PATTERNS`.
      tones: the pattern's two colours.
      floor: the floor's colour, where there is one.
    """

    pattern: str
    tones: tuple[tuple[float, float, float], tuple[float, float, float]]
    floor: tuple[float, float, float] | None = None


_PLASTER = ((0.88, 0.86, 0.81), (0.82, 0.80, 0.75))
BACKGROUNDS = {
    "green floor": Background(
        pattern="panels", tones=_PLASTER, floor=(0.47, 0.63, 0.44)
    ),
    "blue floor": Background(
        pattern="panels", tones=_PLASTER, floor=(0.43, 0.54, 0.70)
    ),
    "brown floor": Background(
        pattern="panels", tones=_PLASTER, floor=(0.56, 0.45, 0.36)
    ),
    "grey stripes": Background(
        pattern="stripes", tones=((0.75, 0.75, 0.77), (0.63, 0.63, 0.65))
    ),
    "checkered wall": Background(
        pattern="checks", tones=((0.86, 0.83, 0.90), (0.76, 0.73, 0.82))
    ),
    "dotted wall": Background(
        pattern="dots", tones=((0.92, 0.85, 0.76), (0.80, 0.71, 0.61))
    ),
    "hills": Background(
        pattern="hills", tones=((0.78, 0.87, 0.93), (0.63, 0.73, 0.58))
    ),
}
FLOORS = tuple(name for name, item in BACKGROUNDS.items() if item.floor)

CAMERAS = ("still", "pan left", "pan right", "zoom in", "zoom out")
_PANS = CAMERAS[:3]
LIGHTS = ("steady", "dusk", "dawn")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Motion:
    """A way to move.

    Attributes:
      direction: (x, y) heading of a straight line; (0, 0) for any other motion.
      cameras: the cameras under which the motion is still unmistakable.
      stands: whether an object that moves so stands on the floor where there is one.
      weight: how often it is drawn, relative to the others.
    """

    direction: tuple[int, int] = (0, 0)
    cameras: tuple[str, ...] = ("still",)
    stands: bool = False
    weight: float = 1.0


MOTIONS = {
    "still": Motion(cameras=CAMERAS, stands=True, weight=2.0),
    "right": Motion(direction=(1, 0), stands=True),
    "left": Motion(direction=(-1, 0), stands=True),
    "up": Motion(direction=(0, -1), cameras=_PANS),
    "down": Motion(direction=(0, 1), cameras=_PANS),
    "bounce": Motion(cameras=_PANS, stands=True, weight=2.0),
    "grow": Motion(cameras=_PANS, stands=True),
    "shrink": Motion(cameras=_PANS, stands=True),
    "spin": Motion(cameras=CAMERAS, weight=1.5),
    "circle": Motion(weight=1.5),
    "up right": Motion(direction=(1, -1), weight=0.6),
    "up left": Motion(direction=(-1, -1), weight=0.6),
    "down right": Motion(direction=(1, 1), weight=0.6),
    "down left": Motion(direction=(-1, 1), weight=0.6),
    "collide": Motion(stands=True, weight=0.0),  # only ever for two
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Body:
    """An object, and where it is in each frame of its stretch.

    Attributes:
      colour: a name in `COLOURS`.
      shape: a name in `SHAPES`.
      size: a name in `DIAMETERS`; empty where the size changes.
      motion: a name in `MOTIONS`.
      centre: (x, y) in world units.
      radius: nominal radius in world units, see `Shape`.
      angle: clockwise turn from upright.
      visible: fraction of the area that nothing stands in front of.
    """

    colour: str
    shape: str
    size: str
    motion: str
    centre: Float[np.ndarray, "t 2"]
    radius: Float[np.ndarray, " t"]
    angle: Float[np.ndarray, " t"]
    visible: Float[np.ndarray, " t"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wall:
    """A grey rectangle in front of everything, in world units."""

    left: float
    right: float
    top: float
    bottom: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class SceneStretch:
    """A run of frames with one caption, without a cut.

    Attributes:
      start: first frame.
      stop: one past the last frame.
      background: a name in `BACKGROUNDS`.
      camera: a name in `CAMERAS`.
      light: a name in `LIGHTS`.
      relation: how the bodies stand to each other or to the wall: "", "left of",
        "above", "collide" or "behind". The first body is the left or upper one.
      bodies: the objects, the hindmost first.
      wall: what the body passes behind, if anything.
      eye: (x, y) in world units of what is at the middle of the image.
      zoom: magnification; at 1 the image shows one whole view.
      brightness: 1 is full light.
      goes_on: whether it continues the stretch before it, without a cut.
    """

    start: int
    stop: int
    background: str
    camera: str
    light: str
    relation: str
    bodies: tuple[Body, ...]
    wall: Wall | None
    eye: Float[np.ndarray, "t 2"]
    zoom: Float[np.ndarray, " t"]
    brightness: Float[np.ndarray, " t"]
    goes_on: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scene:
    """Everything there is to know about a clip.

    Attributes:
      height: of the image, in pixels.
      width: of the image, in pixels.
      frames: number of frames.
      fps: frames per second.
      view: (width, height) of the image in world units; their product is 1.
      stretches: the parts between cuts, or turns; most clips have one.
    """

    height: int
    width: int
    frames: int
    fps: float
    view: tuple[float, float]
    stretches: tuple[SceneStretch, ...]


def view_of(height: int, width: int) -> tuple[float, float]:
    """Return the (width, height) in world units that an image shows at zoom 1."""
    return (width / height) ** 0.5, (height / width) ** 0.5


def to_pixels(
    points: Float[np.ndarray, "t 2"], stretch: SceneStretch, height: int, width: int
) -> Float[np.ndarray, "t 2"]:
    """Return where world points are in an image, as (x, y) from its top left corner."""
    unit = (height * width) ** 0.5
    seen = (points - stretch.eye) * stretch.zoom[:, None]
    return seen * unit + np.array([width, height]) / 2


def pixels_per_unit(
    stretch: SceneStretch, height: int, width: int
) -> Float[np.ndarray, " t"]:
    """Return how many pixels a world unit spans in each frame."""
    return stretch.zoom * (height * width) ** 0.5

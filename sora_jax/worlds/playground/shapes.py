"""The outlines of the playground's objects, as signed distances."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
    """A kind of outline, in multiples of its nominal radius.

    Attributes:
      distance: signed distance of the points (x, y) to the outline, negative inside.
      reach: how far the outline goes from the centre at most.
      head: how far it goes up.
      foot: how far it goes down, to where it stands on the floor.
      side: how far it goes to the left and to the right.
      is_round: whether it looks the same at every angle, so that it cannot spin.
      is_pointed: whether its side is a point, so that two would not meet head-on.
    """

    distance: Callable[[np.ndarray, np.ndarray], np.ndarray]
    reach: float = 1.0
    head: float = 1.0
    foot: float = 1.0
    side: float = 1.0
    is_round: bool = False
    is_pointed: bool = False


def _ball(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.hypot(x, y) - 1.0


def _ring(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.abs(np.hypot(x, y) - 0.7) - 0.3


def _square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(x), np.abs(y)) - 0.87


def _triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    sloping = 0.75**0.5 * np.abs(x) - 0.5 * y
    return np.maximum(sloping, y) - 0.59


def _star(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    tenth = math.pi / 5  # the outline is ten mirrored copies of one edge
    angle = np.arctan2(np.abs(x), -y)
    angle = np.abs(angle - 2 * tenth * np.round(angle / (2 * tenth)))
    tip, notch = 1.12, 0.52
    across, along = notch * math.sin(tenth), tip - notch * math.cos(tenth)
    radius, length = np.hypot(x, y), math.hypot(across, along)
    forward, sideways = radius * np.cos(angle), radius * np.sin(angle)
    return ((forward - tip) * across + sideways * along) / length


def _cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = np.abs(x), np.abs(y)
    return np.maximum(np.maximum(x, y) - 0.95, np.minimum(x, y) - 0.34)


SHAPES = {
    "ball": Shape(distance=_ball, is_round=True),
    "square": Shape(distance=_square, reach=1.24, head=0.87, foot=0.87, side=0.87),
    "triangle": Shape(
        distance=_triangle, reach=1.18, head=1.18, foot=0.59, side=1.03, is_pointed=True
    ),
    "star": Shape(
        distance=_star, reach=1.12, head=1.12, foot=0.91, side=1.07, is_pointed=True
    ),
    "cross": Shape(distance=_cross, reach=1.01, head=0.95, foot=0.95, side=0.95),
    "ring": Shape(distance=_ring, is_round=True),
}

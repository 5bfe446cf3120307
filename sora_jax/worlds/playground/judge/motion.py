"""Classify an object's motion from its positions.

The result is a name of `world.MOTIONS`, or another one for motions that the world does
not have.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from scipy import optimize

from sora_jax.worlds.playground import world
from sora_jax.worlds.playground.judge.tracking import Track

_GROWN = 1.4  # the radius's last over its first; the world's is 2.1
_MOVED = 0.07  # units; the world's shortest way is twice that
_FELL = 0.05  # units
_ROUND = math.radians(250)  # of a circle
_BLUR = 0.005  # units by which a place may well be off
_SLOW, _FAST = 0.02, 1000.0  # units / s, of bounces not worth following
_TURNED = math.radians(30)
_HEADINGS = (
    "right",
    "down right",
    "down",
    "down left",
    "left",
    "up left",
    "up",
    "up right",
)


def name_motion(track: Track, fps: float) -> str:
    """Classify a motion; "" for a single frame."""
    seen = ~track.is_hidden
    if seen.sum() < 2:
        seen = np.ones_like(seen)
    if len(seen) < 2:
        return ""
    time, centre = track.frames[seen] / fps, track.centre[seen]
    growth = _change(time, np.log(track.radius[seen]))
    if abs(growth) > math.log(_GROWN):
        return "grow" if growth > 0 else "shrink"
    turns = _turns_around(centre)
    if abs(turns) > _ROUND:
        return "circle" if turns > 0 else "circle counterclockwise"
    if _bounces(centre):
        return "bounce"
    way = np.array([_change(time, centre[:, 0]), _change(time, centre[:, 1])])
    if np.hypot(*way) > _MOVED:
        eighth = round(math.atan2(way[1], way[0]) / (math.pi / 4))
        return _HEADINGS[eighth % 8]
    spin = _change(time, track.angle[seen])
    if abs(spin) > _TURNED:
        return "spin" if spin > 0 else "spin counterclockwise"
    return "still"


def gravity(track: Track, fps: float) -> float | None:
    """Return the acceleration downward that fits a track of bounces best."""
    time, y = track.frames / fps, track.centre[:, 1]
    if len(y) < 5:
        return None
    floor, lowest = y.max(), time[np.argmax(y)]

    def misfit(law: np.ndarray) -> np.ndarray:
        return (law[0] - _bounce(time - law[1], law[2], law[3]) - y) / _BLUR

    fits = []
    for guess in (0.5 * world.GRAVITY, world.GRAVITY, 2.0 * world.GRAVITY):
        law = np.array([floor, lowest, (2 * guess * np.ptp(y)) ** 0.5, guess])
        bounds = [floor - 0.1, time[0] - 1.0, 0.05, 0.05], [floor + 0.1, 99.0, 9.0, 9.0]
        law = np.clip(law, *bounds)
        fits.append(
            optimize.least_squares(misfit, law, "2-point", bounds, loss="soft_l1")
        )
    return float(min(fits, key=lambda fit: fit.cost).x[3])


def _bounce(time: np.ndarray, speed: float, acceleration: float) -> np.ndarray:
    """Return the height above a floor that is left at time 0 with some speed."""
    height = np.zeros_like(time)
    touch, upward = 0.0, speed
    while touch <= time[-1] and upward > _SLOW:
        height = np.maximum(height, _arc(time - touch, upward, acceleration))
        touch, upward = touch + 2 * upward / acceleration, upward * world.RESTITUTION
    touch, upward = 0.0, speed
    while touch >= time[0] and len(time) * upward < _FAST:
        upward = upward / world.RESTITUTION
        touch = touch - 2 * upward / acceleration
        height = np.maximum(height, _arc(time - touch, upward, acceleration))
    return height


def _arc(since: np.ndarray, speed: float, acceleration: float) -> np.ndarray:
    return since * (speed - since * acceleration / 2)


def _change(time: np.ndarray, value: np.ndarray) -> float:
    """Return how much a value changes in all, by its slope."""
    slope = np.polyfit(time - time.mean(), value, 1)[0]
    return float(slope * (time[-1] - time[0]))


def _turns_around(centre: Float[np.ndarray, "t 2"]) -> float:
    """Return the angle swept around the middle of a circle, clockwise; else 0."""
    if len(centre) < 5:
        return 0.0
    # x² + y² = 2 a x + 2 b y + c, by least squares.
    middle = centre.mean(axis=0)
    x, y = (centre - middle).T
    matrix = np.stack([2 * x, 2 * y, np.ones_like(x)], axis=-1)
    a, b, c = np.linalg.lstsq(matrix, x**2 + y**2, rcond=None)[0]
    radius = math.sqrt(max(c + a**2 + b**2, 0.0))
    away = np.hypot(x - a, y - b)
    if radius < 0.04 or radius > 0.8 or away.std() > 0.2 * radius:
        return 0.0
    angle = np.unwrap(np.arctan2(y - b, x - a))
    return float(angle[-1] - angle[0])


def _bounces(centre: Float[np.ndarray, "t 2"]) -> bool:
    """Say whether a path goes both up and down, and hardly sideways."""
    x, y = centre.T
    fall = np.ptp(y)
    down = (y - np.minimum.accumulate(y)).max()
    up = (np.maximum.accumulate(y) - y).max()
    return bool(
        fall > _FELL and np.ptp(x) < 0.5 * fall and min(up, down) > 0.12 * fall + 0.015
    )

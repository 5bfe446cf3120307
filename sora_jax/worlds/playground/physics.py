"""The laws of the playground: where things are at a given time.

Numbers and times in, one position (or size, or brightness) per frame out. Units are
those of `world`.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from sora_jax.worlds.playground import world

Point = tuple[float, float]
_AT_REST = 0.01  # units / s, below which a bounce is not worth following


def phase(time: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    """Return how much of the time has passed, from 0 to 1; 0 for a single frame."""
    return time / max(time[-1], 1e-9)


def line(
    start: Float[np.ndarray, " 2"],
    stop: Float[np.ndarray, " 2"],
    phase: Float[np.ndarray, " t"],
) -> Float[np.ndarray, "t 2"]:
    """Move at a constant speed; the phase goes from 0 at the start to 1."""
    return start + phase[:, None] * (stop - start)


def bounce(drop: float, time: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    """Return the height above the floor of what falls from `drop` and bounces."""
    speed = (2 * world.GRAVITY * drop) ** 0.5  # upward, at the last touch of the floor
    touch = -speed / world.GRAVITY  # as though it had been thrown up from the floor
    height = np.zeros_like(time)
    while touch <= time[-1] and speed > _AT_REST:
        since = time - touch
        arc = since * (speed - since * world.GRAVITY / 2)
        flight = 2 * speed / world.GRAVITY
        height = np.where((since >= 0) & (since < flight), arc, height)
        touch, speed = touch + flight, speed * world.RESTITUTION
    return np.maximum(height, 0.0)


def circle(
    middle: Point, radius: float, angle: Float[np.ndarray, " t"]
) -> Float[np.ndarray, "t 2"]:
    """Go around a point; 0 is to its right, and growing angles go clockwise."""
    around = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return np.array(middle) + radius * around


def collide(
    contact: Point, speeds: Point, at: float, time: Float[np.ndarray, " t"]
) -> tuple[Float[np.ndarray, " t"], Float[np.ndarray, " t"]]:
    """Run two equal masses into each other: they swap speeds, and no energy is lost.

    Args:
      contact: x of the left and of the right one when they touch.
      speeds: of the left and of the right one before they touch; positive to the right.
      at: when they touch.
      time: of each frame.

    Returns:
      x of the left and of the right one.
    """
    since = time - at
    left, right = speeds
    return (
        contact[0] + since * np.where(since < 0, left, right),
        contact[1] + since * np.where(since < 0, right, left),
    )


def camera(
    name: str, view: Point, phase: Float[np.ndarray, " t"]
) -> tuple[Float[np.ndarray, "t 2"], Float[np.ndarray, " t"]]:
    """Return what a camera looks at, and its zoom."""
    along = {"pan left": 0.5 - phase, "pan right": phase - 0.5}.get(name, 0.0 * phase)
    eye = np.stack([along * world.PAN_DISTANCE * view[0], 0.0 * phase], axis=-1)
    closeness = {"zoom in": phase, "zoom out": 1.0 - phase}.get(name, 0.0 * phase)
    return eye + np.array(view) / 2, world.ZOOM_RATIO**closeness


def brightness(light: str, phase: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    """Return how bright the light is."""
    night = {"dusk": phase, "dawn": 1.0 - phase}.get(light, 0.0 * phase)
    return 1.0 + night * (world.DUSK_BRIGHTNESS - 1.0)


def visible(
    shape: str,
    centre: Float[np.ndarray, "t 2"],
    radius: Float[np.ndarray, " t"],
    wall: world.Wall | None,
) -> Float[np.ndarray, " t"]:
    """Return the fraction of an upright shape's area that a wall leaves visible."""
    if wall is None:
        return np.ones_like(radius)
    axis = np.linspace(-1.25, 1.25, 51)
    x, y = np.meshgrid(axis, axis)
    inside = world.SHAPES[shape].distance(x, y) < 0
    x = centre[:, :1] + radius[:, None] * x[inside]
    y = centre[:, 1:] + radius[:, None] * y[inside]
    hidden = (x > wall.left) & (x < wall.right) & (y > wall.top) & (y < wall.bottom)
    return 1.0 - hidden.mean(axis=1)

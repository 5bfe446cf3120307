"""Paint a scene: its ground truth in, anti-aliased pixels out.

Every edge is a signed distance in pixels, turned into the fraction of the pixel that
is covered, so that a scene looks the same at any resolution.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32

from sora_jax.worlds.playground import world

_RIM = 0.014  # units, the width of the darker rim around an object
_RIM_SHADE = 0.65


def render(scene: world.Scene) -> Float32[np.ndarray, "t h w 3"]:
    """Paint all frames, with values in [-1, 1]."""
    size = scene.height, scene.width
    return np.concatenate([_paint(stretch, *size) for stretch in scene.stretches])


def light_gain(brightness: Float[np.ndarray, " t"]) -> Float[np.ndarray, "t 3"]:
    """Return the RGB gain of a brightness: night is slightly blue."""
    night = (1.0 - brightness)[:, None]
    return 1.0 - night * np.array([1.0, 0.95, 0.8])


def coverage(
    body: world.Body,
    x: Float[np.ndarray, "t 1 w"],
    y: Float[np.ndarray, "t h 1"],
    pixel: Float[np.ndarray, "t 1 1"],
) -> tuple[Float32[np.ndarray, "t h w"], Float32[np.ndarray, "t h w"]]:
    """Return how much of each pixel an object covers, with and without its rim.

    Args:
      body: the object.
      x: of the pixels, in world units.
      y: of the pixels, in world units.
      pixel: the size of a pixel in world units.
    """
    radius = body.radius[:, None, None]
    x = ((x - body.centre[:, 0, None, None]) / radius).astype(np.float32)
    y = ((y - body.centre[:, 1, None, None]) / radius).astype(np.float32)
    if body.angle.any():
        angle = body.angle[:, None, None].astype(np.float32)
        sine, cosine = np.sin(angle), np.cos(angle)
        x, y = x * cosine + y * sine, y * cosine - x * sine
    distance = world.SHAPES[body.shape].distance(x, y) * radius.astype(np.float32)
    pixel = pixel.astype(np.float32)
    return _covered(distance, pixel), _covered(distance + np.float32(_RIM), pixel)


def _covered(distance: np.ndarray, pixel: np.ndarray) -> np.ndarray:
    return np.clip(0.5 - distance / pixel, 0.0, 1.0)


def _shaded(colour: tuple[float, float, float], inner: np.ndarray) -> np.ndarray:
    """Return a colour that is darker outside of `inner`, along a rim."""
    shade = _RIM_SHADE + (1.0 - _RIM_SHADE) * inner[..., None]
    return np.array(colour, np.float32) * shade


def _paint(
    stretch: world.SceneStretch, height: int, width: int
) -> Float32[np.ndarray, "t h w 3"]:
    pixel = 1.0 / world.pixels_per_unit(stretch, height, width)[:, None, None]
    # x and y of the middle of each column and row of pixels in each frame.
    x = (np.arange(width) + 0.5 - width / 2) * pixel + stretch.eye[:, :1, None]
    y = (np.arange(height) + 0.5 - height / 2) * pixel + stretch.eye[:, 1:, None]
    y = y.swapaxes(1, 2)
    # What does not move in the image is painted once.
    once = slice(0, 1) if stretch.camera == "still" else slice(None)
    still_x, still_y, still_pixel = (
        item[once].astype(np.float32) for item in (x, y, pixel)
    )
    view_height = world.view_of(height, width)[1]
    background = world.BACKGROUNDS[stretch.background]
    canvas = _background(background, still_x, still_y, still_pixel, view_height)
    canvas = np.broadcast_to(canvas, (len(pixel), height, width, 3)).copy()
    for body in stretch.bodies:
        _paint_body(canvas, body, x, y, pixel)
    if stretch.wall is not None:
        _paint_wall(canvas, stretch.wall, still_x, still_y, still_pixel)
    if stretch.light != "steady":
        canvas *= light_gain(stretch.brightness)[:, None, None].astype(np.float32)
    canvas *= 2.0
    canvas -= 1.0
    return canvas


def _paint_body(
    canvas: np.ndarray,
    body: world.Body,
    x: np.ndarray,
    y: np.ndarray,
    pixel: np.ndarray,
) -> None:
    """Blend an object into the canvas, touching only a box around it."""
    frames, height, width, _ = canvas.shape
    scale = pixel[:, 0, 0]
    reach = body.radius * world.SHAPES[body.shape].reach / scale + 1.0
    steps = np.arange(int(np.ceil(2 * reach.max())) + 1)
    left = (body.centre[:, 0] - x[:, 0, 0]) / scale - reach
    top = (body.centre[:, 1] - y[:, 0, 0]) / scale - reach
    # Indices beyond the border repeat it, and are painted alike each time.
    columns = np.clip(left.astype(int)[:, None] + steps, 0, width - 1)[:, None, :]
    rows = np.clip(top.astype(int)[:, None] + steps, 0, height - 1)[:, :, None]
    box_x, box_y = np.take_along_axis(x, columns, 2), np.take_along_axis(y, rows, 1)
    outer, inner = coverage(body, box_x, box_y, pixel)
    box = (np.arange(frames)[:, None, None], rows, columns)
    patch = canvas[box]
    colour = _shaded(world.COLOURS[body.colour], inner)
    canvas[box] = patch + outer[..., None] * (colour - patch)


def _paint_wall(
    canvas: np.ndarray,
    wall: world.Wall,
    x: np.ndarray,
    y: np.ndarray,
    pixel: np.ndarray,
) -> None:
    beside = np.maximum(wall.left - x, x - wall.right)
    distance = np.maximum(beside, np.maximum(wall.top - y, y - wall.bottom))
    outer = _covered(distance, pixel)[..., None]
    colour = _shaded(world.WALL_COLOUR, _covered(distance + _RIM, pixel))
    canvas *= 1.0 - outer
    canvas += outer * colour


def _background(
    background: world.Background,
    x: np.ndarray,
    y: np.ndarray,
    pixel: np.ndarray,
    view_height: float,
) -> Float32[np.ndarray, "t h w 3"]:
    """Paint the background, for pixel centres x `[t 1 w]` and y `[t h 1]`."""
    mix = PATTERNS[background.pattern](x, y, pixel, view_height)[..., None]
    first, second = np.array(background.tones, np.float32)
    painted = first + mix * (second - first)
    if background.floor is not None:
        depth = y - world.FLOOR_LINE * view_height
        floor = (
            np.array(background.floor, np.float32) * _floor_shade(x, depth)[..., None]
        )
        painted = painted + _covered(-depth, pixel)[..., None] * (floor - painted)
    return painted


def _floor_shade(x: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Darken the floor's front edge, and alternate its tiles a little."""
    edge = 0.15 * np.clip(1.0 - depth / 0.03, 0.0, 1.0)
    return 1.0 - edge - 0.04 * _wave(x, period=0.5)


def _wave(x: np.ndarray, period: float, sharpness: float = 2.0) -> np.ndarray:
    """Return soft stripes in [0, 1]."""
    return np.clip(0.5 + sharpness * np.sin(2 * np.pi * x / period), 0.0, 1.0)


def _panels(x: np.ndarray, y: np.ndarray, pixel: np.ndarray, view: float) -> np.ndarray:
    return _wave(x, period=0.5) + 0.0 * y


def _stripes(
    x: np.ndarray, y: np.ndarray, pixel: np.ndarray, view: float
) -> np.ndarray:
    return _wave(x, period=0.28) + 0.0 * y


def _checks(x: np.ndarray, y: np.ndarray, pixel: np.ndarray, view: float) -> np.ndarray:
    across, down = _wave(x, period=0.4), _wave(y, period=0.4)
    return across + down - 2 * across * down


def _dots(x: np.ndarray, y: np.ndarray, pixel: np.ndarray, view: float) -> np.ndarray:
    row = np.floor(y / 0.2)
    x = (x + 0.1 * (row % 2)) % 0.2 - 0.1
    y = y % 0.2 - 0.1
    return np.clip((0.055 - np.hypot(x, y)) / np.maximum(pixel, 0.015) + 0.5, 0.0, 1.0)


def _hills(x: np.ndarray, y: np.ndarray, pixel: np.ndarray, view: float) -> np.ndarray:
    top = 0.66 * view + 0.07 * np.sin(5.2 * x + 0.6) + 0.04 * np.sin(11.0 * x)
    return _covered(top - y, pixel)


# How much of the second tone is in each pixel, by x, y, pixel size and view height.
PATTERNS = {
    "panels": _panels,
    "stripes": _stripes,
    "checks": _checks,
    "dots": _dots,
    "hills": _hills,
}

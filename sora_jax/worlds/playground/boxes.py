"""Where the objects of a playground clip are, and windows cut around them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float32

from sora_jax.worlds.playground import world
from sora_jax.worlds.playground.source import Sample


def object_boxes(scene: world.Scene) -> Bool[np.ndarray, "t h w"]:
    """Return which pixels are in a box around an object."""
    shape = (scene.frames, scene.height, scene.width)
    rows, columns = np.arange(scene.height) + 0.5, np.arange(scene.width) + 0.5
    mask = np.zeros(shape, bool)
    for stretch in scene.stretches:
        scale = world.pixels_per_unit(stretch, *shape[1:])
        for body in stretch.bodies:
            x, y = world.to_pixels(body.centre, stretch, *shape[1:]).T[..., None]
            reach = (body.radius * world.SHAPES[body.shape].reach * scale)[:, None]
            in_rows = (np.abs(rows - y) <= reach)[:, :, None]
            in_columns = (np.abs(columns - x) <= reach)[:, None, :]
            mask[stretch.start : stretch.stop] |= in_rows & in_columns
    return mask


def window_on_object(
    sample: Sample, size: int, rng: np.random.Generator
) -> Float32[np.ndarray, "t size size 3"]:
    """Cut a fixed window of `size` pixels that an object passes through.

    A pixel of an object's box in some frame is drawn, and the window put around it.
    """
    pixels = sample.clip.pixels
    _, height, width, _ = pixels.shape
    boxes = np.argwhere(object_boxes(sample.scene))
    _, row, column = boxes[int(rng.random() * len(boxes))]
    top = int(np.clip(row - size // 2, 0, height - size))
    left = int(np.clip(column - size // 2, 0, width - size))
    return pixels[:, top : top + size, left : left + size]

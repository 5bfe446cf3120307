"""Masks of the objects in a playground clip."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from sora_jax.worlds.playground import world


def object_boxes(scene: world.Scene) -> Bool[np.ndarray, "t h w"]:
    """Return the mask of pixels in a box around any object."""
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

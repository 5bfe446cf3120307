"""Where things are in each frame of a video that has no cut."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Float32

from sora_jax.evals import backdrop, segment

NEAR = 0.1  # units: a tenth of the view's side is the same place
_FAR = 1.0  # units: what is not there at all is a view away


def things(clip: Float32[np.ndarray, "t h w 3"]) -> segment.Things:
    """Find what is not backdrop, in a clip in [-1, 1]."""
    pixels = (np.clip(np.nan_to_num(clip), -1.0, 1.0) + 1.0) / 2.0
    return segment.find_things(backdrop.fit(pixels, backdrop.costs(pixels)))


def places(clip: Float32[np.ndarray, "t h w 3"]) -> Float[np.ndarray, "t 2"]:
    """Return (x, y) of the largest thing in each frame, in world units, or NaN."""
    result = np.full((len(clip), 2), math.nan)
    for frame, blobs in enumerate(things(clip).blobs):
        if blobs:
            result[frame] = max(blobs, key=lambda blob: blob.area).centre
    return result


def distances(
    seen: Float[np.ndarray, "t 2"], true: Float[np.ndarray, "t 2"]
) -> Float[np.ndarray, " t"]:
    """Return how far things are from where they should be, at most a view's side."""
    apart = np.hypot(*(seen - true).T)
    return np.minimum(np.nan_to_num(apart, nan=_FAR), _FAR)

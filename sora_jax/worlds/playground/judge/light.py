"""Measure the brightness of each frame relative to the rendered backdrop."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import numpy as np
from scipy import ndimage

from sora_jax.worlds.playground import render, world
from sora_jax.worlds.playground.judge import views

_BRIGHTNESS = (0.4, 1.15)  # the range that is believed
_IS_BACKDROP = 0.1  # pixels this close set the light
_ENOUGH = 0.5  # part of the world's full dusk that counts as one


def largest_difference(differences: Iterable[np.ndarray]) -> np.ndarray:
    """Return the largest absolute value; far faster than `max` over a short axis."""
    return functools.reduce(np.maximum, (np.abs(item) for item in differences))


def gain(brightness: np.ndarray) -> np.ndarray:
    """Return what light of a brightness multiplies red, green and blue by."""
    flat = render.light_gain(brightness.reshape(-1))
    return flat.reshape(*brightness.shape, 3)


def brightness_of(ratio: np.ndarray) -> np.ndarray:
    """Return which brightness dims grey by a ratio."""
    darkest = render.light_gain(np.zeros(1)).mean()
    return np.clip((ratio - darkest) / (1.0 - darkest), *_BRIGHTNESS)


def measure_brightness(pixels: np.ndarray, painted: np.ndarray) -> np.ndarray:
    """Return the brightness of each frame that fits the pixels of the backdrop."""
    pixels, painted = views.thinned(pixels), views.thinned(painted)
    ratio = pixels.sum(axis=-1) / painted.sum(axis=-1)
    result = brightness_of(np.median(ratio, axis=1))
    dimming = (1.0 - render.light_gain(np.zeros(1))).astype(np.float32)
    for number, (frame, full) in enumerate(zip(pixels, painted, strict=True)):
        for _ in range(3):
            change = full * (1.0 - (1.0 - result[number]) * dimming) - frame
            misfit = largest_difference(np.moveaxis(change, -1, 0))
            inside = misfit < max(_IS_BACKDROP, float(np.quantile(misfit, 0.3)))
            change = (full * dimming)[inside]
            night = ((full - frame)[inside] * change).sum() / (change**2).sum()
            result[number] = np.clip(1.0 - night, *_BRIGHTNESS)
    return result


def name_light(brightness: np.ndarray) -> str:
    """Return the name in `world.LIGHTS` for how the brightness changes."""
    frames = len(brightness)
    if frames < 2:
        return "steady"
    smooth = ndimage.median_filter(brightness, size=min(3, frames), mode="nearest")
    slope = np.polyfit(np.linspace(0.0, 1.0, frames), smooth, 1)[0]
    if abs(slope) < _ENOUGH * (1.0 - world.DUSK_BRIGHTNESS):
        return "steady"
    return "dawn" if slope > 0 else "dusk"

"""Camera views: paint the world's backgrounds from wherever a camera may be.

Sizes and frame counts go in; renderings without objects, and the paths that a camera
may take through them, come out. Everything is made once and kept.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math

import numpy as np
from jaxtyping import Float, Float32, Int
from scipy import ndimage

from sora_jax.worlds.playground import render, world

NAMES = tuple(world.BACKGROUNDS)
_PAN_STEPS = 6  # views on either side of the middle; a pan of the world ends there
_ZOOM_STEPS = 8  # from 1 to the world's zoom ratio
_COARSE = 32  # a table has about so many pixels along each side

# The views: pans first, from left to right, then zooms.
_PANS = np.linspace(-0.5, 0.5, 2 * _PAN_STEPS + 1) * world.PAN_DISTANCE
_ZOOMS = world.ZOOM_RATIO ** np.linspace(0.0, 1.0, _ZOOM_STEPS + 1)[1:]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Paths:
    """Ways that a camera may take through a number of frames.

    Attributes:
      pan: to the right, as a fraction of the view's width.
      zoom: magnification.
      views: the number of the nearest view that is painted.
    """

    pan: Float[np.ndarray, "k t"]
    zoom: Float[np.ndarray, "k t"]
    views: Int[np.ndarray, "k t"]


@functools.lru_cache(maxsize=64)
def world_paths(frames: int) -> Paths:
    """Return the path of each of the world's cameras."""
    pans = [(0.0, 0.0), (0.5, -0.5), (-0.5, 0.5)]
    return _paths(frames, pans, [(0.0, 1.0), (1.0, 0.0)])


@functools.lru_cache(maxsize=64)
def any_paths(frames: int) -> Paths:
    """Return all paths that go steadily from one view to another."""
    pans = np.arange(-_PAN_STEPS, _PAN_STEPS + 1) / (2 * _PAN_STEPS)
    zooms = np.arange(_ZOOM_STEPS + 1) / _ZOOM_STEPS
    pairs = itertools.product(pans, pans), itertools.product(zooms, zooms)
    return _paths(frames, *(list(item) for item in pairs))


def _paths(
    frames: int, pans: list[tuple[float, float]], zooms: list[tuple[float, float]]
) -> Paths:
    """Return straight paths between ends, in multiples of the world's pan and zoom."""
    phase = np.arange(frames) / max(frames - 1, 1)
    first, last = np.array(pans + [(0.0, 0.0)] * len(zooms)).T[..., None]
    pan = first + phase * (last - first)
    first, last = np.array([(0.0, 0.0)] * len(pans) + zooms).T[..., None]
    zoom = first + phase * (last - first)
    zoomed = np.rint(zoom * _ZOOM_STEPS).astype(int)
    panned = _PAN_STEPS + np.rint(pan * 2 * _PAN_STEPS).astype(int)
    return Paths(
        pan=pan * world.PAN_DISTANCE,
        zoom=world.ZOOM_RATIO**zoom,
        views=np.where(zoomed > 0, 2 * _PAN_STEPS + zoomed, panned),
    )


@functools.lru_cache(maxsize=8)
def painted_table(height: int, width: int) -> Float32[np.ndarray, "3 b s p"]:
    """Return every background from every view, thinned."""
    pan = np.concatenate([_PANS, np.zeros(len(_ZOOMS))])
    zoom = np.concatenate([np.ones(len(_PANS)), _ZOOMS])
    table = [thinned(paint_view(name, pan, zoom, height, width)) for name in NAMES]
    return np.ascontiguousarray(np.moveaxis(np.stack(table), -1, 0))


def thinned(pixels: Float32[np.ndarray, "n h w 3"]) -> Float32[np.ndarray, "n p 3"]:
    """Return every so many pixels of each frame."""
    unit = math.sqrt(pixels.shape[1] * pixels.shape[2])
    stride = max(1, round(unit / _COARSE))
    thin = pixels[:, stride // 2 :: stride, stride // 2 :: stride]
    return thin.reshape(len(pixels), -1, 3)


def softened(
    painted: Float32[np.ndarray, "t h w 3"], blur: float
) -> Float32[np.ndarray, "t h w 3"]:
    """Blur a rendering by so many world units."""
    sigma = blur * math.sqrt(painted.shape[1] * painted.shape[2])
    return ndimage.gaussian_filter(painted, (0.0, sigma, sigma, 0.0))


def eye_of(
    pan: Float[np.ndarray, " t"], height: int, width: int
) -> Float[np.ndarray, "t 2"]:
    """Return what is at the middle of the image, in world units."""
    view = world.view_of(height, width)
    return np.stack([view[0] * (0.5 + pan), np.full(len(pan), view[1] / 2)], axis=-1)


def paint_view(
    background: str,
    pan: Float[np.ndarray, " t"],
    zoom: Float[np.ndarray, " t"],
    height: int,
    width: int,
    wall: world.Wall | None = None,
) -> Float32[np.ndarray, "t h w 3"]:
    """Render a scene that has no objects, in full light, with values in [0, 1]."""
    frames = len(zoom)
    stretch = world.SceneStretch(
        start=0,
        stop=frames,
        background=background,
        camera="pan right",  # any that moves: the eye says where it is
        light="steady",
        relation="",
        bodies=(),
        wall=wall,
        eye=eye_of(pan, height, width),
        zoom=zoom,
        brightness=np.ones(frames),
    )
    scene = world.Scene(
        height=height,
        width=width,
        frames=frames,
        fps=1.0,
        view=world.view_of(height, width),
        stretches=(stretch,),
    )
    return (render.render(scene) + 1.0) / 2.0

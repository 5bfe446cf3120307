"""Classify shapes by comparing their masks with templates at each angle.

A patch shows an object at an area of 1 about its centre. Templates are blurred and
filled as videos are that were compressed or imagined: there, notches and holes fade.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from jaxtyping import Float, Float32
from scipy import ndimage

from sora_jax.worlds.playground import world

PATCH_SIDE = 21  # pixels of a patch
PATCH_HALF = 1.0  # what it shows to each side of the centre
NAMES = tuple(world.SHAPES)
# After how many radians a shape looks the same again.
SYMMETRY = {
    "square": math.pi / 2,
    "cross": math.pi / 2,
    "triangle": 2 * math.pi / 3,
    "star": 2 * math.pi / 5,
}
_STEP = math.radians(6)
_BLURS = (0.03, 0.08, 0.13)
_FILLS = (0.0, 0.35, 0.7)  # how much of notches and holes is filled
_FULLEST_RING = 0.6  # a fuller one would be a ball of a faded colour
_NOTCH = 0.9  # nominal radii, as wide as the widest of them
_TURNED_COST = 0.03  # of likeness, which any angle gains too easily
_EXTENT, _FINE = 3.0, 301  # of the outlines that templates are made from


def likeness(patch: Float32[np.ndarray, "y x"]) -> Float32[np.ndarray, " n"]:
    """Return how well each template overlaps a patch, from 0 to 1."""
    templates = _templates()[0]
    apart = np.abs(templates - patch.reshape(-1)).sum(axis=-1)
    both = templates.sum(axis=-1) + patch.sum()
    return (1.0 - apart / both).max(axis=0)


def name_shape(likeness: Float[np.ndarray, "t n"]) -> str:
    """Return the shape that the patches of some frames are most like.

    What does not spin is upright, so a smeared cross is no square on its corner.
    """
    _, owners, angles = _templates()
    scores = []
    for number in range(len(NAMES)):
        mine = likeness[:, owners == number]
        upright = mine[:, angles[owners == number] == 0].mean()
        scores.append(max(upright, mine.max(axis=1).mean() - _TURNED_COST))
    return NAMES[int(np.argmax(scores))]


def read_angle(
    likeness: Float[np.ndarray, "t n"], shape: str
) -> Float[np.ndarray, " t"]:
    """Return how far a shape is turned, without jumps; 0 where it is round."""
    _, owners, angles = _templates()
    if shape not in SYMMETRY:
        return np.zeros(len(likeness))
    mine = owners == NAMES.index(shape)
    best = angles[mine][np.argmax(likeness[:, mine], axis=1)]
    return np.unwrap(best, period=SYMMETRY[shape])


@functools.cache
def area_of(shape: str) -> float:
    """Return the area of a shape of nominal radius 1."""
    axis = np.linspace(-1.3, 1.3, 521)
    inside = world.SHAPES[shape].distance(*np.meshgrid(axis, axis)) < 0
    return float(inside.sum() * (axis[1] - axis[0]) ** 2)


@functools.cache
def _templates() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return every shape at every angle, at unit area, in several kinds of smear.

    Returns:
      Masks [smears n pixels], the number of each one's shape [n], its angle [n].
    """
    kinds = []
    for name in NAMES:
        period = SYMMETRY.get(name, _STEP)
        angles = np.arange(0.0, period - 1e-6, period / round(period / _STEP))
        kinds.append((_outlines(name), angles))
    masks = [
        np.concatenate(
            [
                np.stack([_template(outlines[fill], angle, blur) for angle in angles])
                for outlines, angles in kinds
            ]
        )
        for fill in range(len(_FILLS))
        for blur in _BLURS
    ]
    owners = [np.full(len(angles), n) for n, (_, angles) in enumerate(kinds)]
    every_angle = np.concatenate([angles for _, angles in kinds])
    return np.stack(masks), np.concatenate(owners), every_angle


def _outlines(shape: str) -> list[np.ndarray]:
    """Return soft masks of a shape of nominal radius 1, more and more filled."""
    axis = np.linspace(-_EXTENT, _EXTENT, _FINE)
    step = axis[1] - axis[0]
    inside = world.SHAPES[shape].distance(*np.meshgrid(axis, axis)) < 0
    grown = ndimage.distance_transform_edt(~inside) * step <= _NOTCH
    closed = inside | (ndimage.distance_transform_edt(grown) * step > _NOTCH)
    fills = np.minimum(_FILLS, _FULLEST_RING if shape == "ring" else 1.0)
    return [
        ((1.0 - fill) * inside + fill * closed).astype(np.float32) for fill in fills
    ]


def _template(outline: np.ndarray, angle: float, blur: float) -> np.ndarray:
    """Turn an outline, give it an area of 1, blur it and sample it as patches are."""
    fine = 5
    axis = np.linspace(-PATCH_HALF, PATCH_HALF, (PATCH_SIDE - 1) * fine + 1)
    x, y = np.meshgrid(axis, axis)
    step = 2 * _EXTENT / (_FINE - 1)
    scale = math.sqrt(float(outline.sum())) * step
    sine, cosine = math.sin(angle) * scale, math.cos(angle) * scale
    turned = [y * cosine - x * sine, x * cosine + y * sine]
    places = [(item + _EXTENT) / step for item in turned]
    mask = ndimage.map_coordinates(outline, places, order=1)
    mask = ndimage.gaussian_filter(mask, blur / (axis[1] - axis[0]))
    return mask[::fine, ::fine].reshape(-1).astype(np.float32)

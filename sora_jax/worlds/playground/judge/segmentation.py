"""Segment each frame into objects: what differs from the backdrop, and its colour.

A backdrop goes in. Out come blobs, the visible parts of objects, each with a soft mask,
and the grey wall if there is one.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float, Float32
from scipy import ndimage as scipy_ndimage

from sora_jax.worlds.playground import world
from sora_jax.worlds.playground.judge import walls
from sora_jax.worlds.playground.judge.backdrop import Backdrop
from sora_jax.worlds.playground.judge.shape_templates import PATCH_HALF, PATCH_SIDE

# SciPy does not say what these functions return.
ndimage: Any = scipy_ndimage

WALL = "wall"
_COLOURS = {**world.COLOURS, WALL: world.WALL_COLOUR}
NAMES = tuple(_COLOURS)
_PALETTE = np.array(list(_COLOURS.values()), np.float32)
_SHADES = np.array([1.0, 0.83, 0.66], np.float32)  # down to that of a rim
_DIFFERENT = 0.16  # from the backdrop, in RGB distance
_STRICTNESS = 0.4  # 1 takes the backdrop's edges as they are, 0 lets them move
_ALIKE = 0.3  # to a colour of the palette, in RGB distance
_UNLIKE = 0.15  # from any mix of a colour and the backdrop: it is something else
_SMALLEST = 0.007  # area of an object, in square units: half of the smallest cross
_SMALLEST_PART = 0.15  # of a patch, for it to be a second object that touches the first


@dataclasses.dataclass(frozen=True, kw_only=True)
class Blob:
    """The part of an object that is seen in a frame.

    Attributes:
      frame: which frame.
      colour: a name in `segmentation.NAMES`.
      centre: (x, y) in world units.
      area: in square units.
      patch: its soft mask, scaled to an area of 1 about its centre.
      is_hidden: whether it touches the wall, which may hide the rest of it.
    """

    frame: int
    colour: str
    centre: Float[np.ndarray, " 2"]
    area: float
    patch: Float32[np.ndarray, "y x"]
    is_hidden: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Segmentation:
    """What is found in front of the backdrop.

    Attributes:
      blobs: of each frame.
      wall: where the wall is, in world units, if there is one.
      has_wall: whether the wall is seen in each frame.
    """

    blobs: tuple[tuple[Blob, ...], ...]
    wall: world.Wall | None
    has_wall: tuple[bool, ...]


def segment(backdrop: Backdrop) -> Segmentation:
    """Segment every frame of a stretch."""
    _, height, width, _ = backdrop.relit.shape
    unit = (height * width) ** 0.5
    difference = _difference(backdrop, _pixels(1.0 / 64, unit))
    found_walls = walls.find_wall(backdrop, difference)
    if found_walls.wall is not None:
        backdrop = walls.paint_wall(backdrop, found_walls.wall)
        difference = _difference(backdrop, _pixels(1.0 / 64, unit))
    # Where exactly the wall ends, nobody knows.
    shadow = found_walls.shadow
    edge = ndimage.binary_dilation(shadow) ^ ndimage.binary_erosion(shadow)
    near_wall = ndimage.binary_dilation(shadow, iterations=_pixels(0.03, unit))
    blobs = []
    for frame, (relit, differs) in enumerate(
        zip(backdrop.relit, difference, strict=True)
    ):
        labels, colours = _seeds(
            relit, backdrop.painted[frame], np.where(edge, 0.0, differs), unit
        )
        found = (
            _measure(backdrop, frame, labels == number + 1, colour, differs, near_wall)
            for number, colour in enumerate(colours)
        )
        blobs.append(tuple(blob for blob in found if blob is not None))
    return Segmentation(
        blobs=tuple(blobs), wall=found_walls.wall, has_wall=found_walls.is_seen
    )


def _pixels(length: float, unit: float) -> int:
    return max(1, round(length * unit))


def _difference(backdrop: Backdrop, reach: int) -> np.ndarray:
    """Return [t h w]: how far pixels are from any that the backdrop has nearby.

    Blur and a camera that is a little off move the backdrop's own edges, which must
    not look like objects.
    """
    size = (1, 2 * reach + 1, 2 * reach + 1, 1)
    low = ndimage.minimum_filter(backdrop.painted, size)
    high = ndimage.maximum_filter(backdrop.painted, size)
    low += _STRICTNESS * (backdrop.painted - low)
    high += _STRICTNESS * (backdrop.painted - high)
    beyond = np.maximum(low - backdrop.relit, backdrop.relit - high)
    return np.sqrt((np.maximum(beyond, 0.0) ** 2).sum(axis=-1))


def _seeds(
    relit: np.ndarray, painted: np.ndarray, difference: np.ndarray, unit: float
) -> tuple[np.ndarray, list[str]]:
    """Part what differs from the backdrop into objects.

    Returns:
      Labels [h w] that count from 1, and the colour of each.
    """
    mask = ndimage.binary_opening(difference > _DIFFERENT, np.ones((2, 2)))
    patches, count = walls.label(mask)
    smallest = _SMALLEST * unit**2
    labels = np.zeros(mask.shape, int)
    colours: list[str] = []
    for number in range(1, count + 1):
        rows, columns = np.nonzero(patches == number)
        if len(rows) < smallest:
            continue
        any_mix, half = _apart(relit[rows, columns], painted[rows, columns])
        parts = _parts(any_mix, half, smallest)
        nearest = np.argmin(half[:, parts], axis=1)
        for part, colour in enumerate(parts):
            mine = nearest == part
            labels[rows[mine], columns[mine]] = len(colours) + 1
            colours.append(NAMES[colour])
    return labels, colours


def _apart(
    pixels: Float32[np.ndarray, "n 3"], painted: Float32[np.ndarray, "n 3"]
) -> tuple[Float32[np.ndarray, "n k"], Float32[np.ndarray, "n k"]]:
    """Return how far pixels are from any mix of the backdrop and each colour.

    So the rim of an object and its blurred edge are near to its colour, too.

    Returns:
      The distance to any mix, and to those in which the colour is at least a half.
    """
    result = np.full((2, len(pixels), len(_PALETTE)), np.inf, np.float32)
    offset = pixels - painted
    for shade in _SHADES:
        way = shade * _PALETTE - painted[:, None]
        length = np.maximum(np.einsum("nkc,nkc->nk", way, way), 1e-6)
        share = np.einsum("nkc,nc->nk", way, offset) / length
        for number, least in enumerate((0.0, 0.5)):
            mix = np.clip(share, least, 1.0)[..., None] * way
            far = offset[:, None] - mix
            far = np.einsum("nkc,nkc->nk", far, far)
            result[number] = np.minimum(result[number], far)
    return np.sqrt(result[0]), np.sqrt(result[1])


def _parts(any_mix: np.ndarray, half: np.ndarray, smallest: float) -> list[int]:
    """Return the colours, one or two, that explain the pixels of a patch."""
    first = int(np.argmin(np.minimum(half, _ALIKE).sum(axis=0)))
    left_over = half[any_mix[:, first] > _UNLIKE]
    least = max(_SMALLEST_PART * len(half), smallest / 2)
    if len(left_over) < least:
        return [first]
    second = int(np.argmin(np.minimum(left_over, _ALIKE).sum(axis=0)))
    if (left_over[:, second] < _UNLIKE).sum() < least:
        return [first]
    return [first, second]


def _measure(
    backdrop: Backdrop,
    frame: int,
    mask: np.ndarray,
    colour: str,
    difference: np.ndarray,
    near_wall: np.ndarray,
) -> Blob | None:
    """Measure a blob by how much of each pixel it covers."""
    height, width = mask.shape
    unit = (height * width) ** 0.5
    box = _box_around(mask, margin=_pixels(0.03, unit) + 1)
    mask, difference, near_wall = mask[box], difference[box], near_wall[box]
    near = np.nonzero(ndimage.binary_dilation(mask))
    relit, painted = backdrop.relit[frame][box], backdrop.painted[frame][box]
    share = _share(relit[near], painted[near], colour)
    soft = np.zeros(mask.shape, np.float32)
    soft[near] = share * np.clip(difference[near] / (0.6 * _DIFFERENT), 0.0, 1.0)
    soft[soft < 0.15] = 0.0
    # A paler colour than the world's must not make the inside look half empty.
    inner = ndimage.binary_erosion(mask, iterations=_pixels(0.03, unit))
    if inner.sum() > 0.1 * mask.sum():
        soft = np.minimum(soft / max(float(np.quantile(soft[inner], 0.8)), 0.5), 1.0)
    area = float(soft.sum())
    if area < _SMALLEST * unit**2:
        return None
    rows, columns = np.indices(mask.shape)
    y, x = float((soft * rows).sum() / area), float((soft * columns).sum() / area)
    offsets = np.linspace(-PATCH_HALF, PATCH_HALF, PATCH_SIDE) * area**0.5
    grid = np.meshgrid(y + offsets, x + offsets, indexing="ij")
    patch = ndimage.map_coordinates(soft, grid, order=1)
    place = np.array([[x + box[1].start + 0.5, y + box[0].start + 0.5]])
    return Blob(
        frame=frame,
        colour=colour,
        centre=backdrop.to_world(place, frame)[0],
        area=area / (unit * float(backdrop.zoom[frame])) ** 2,
        patch=patch.astype(np.float32),
        is_hidden=bool(near_wall[near].any()),
    )


def _share(pixels: np.ndarray, painted: np.ndarray, colour: str) -> np.ndarray:
    """Return how much of each pixel an object of a colour, or its rim, covers."""
    way = _SHADES[:, None, None] * _PALETTE[NAMES.index(colour)] - painted
    offset = pixels - painted
    share = (way * offset).sum(axis=-1) / np.maximum((way**2).sum(axis=-1), 1e-3)
    share = np.clip(share, 0.0, 1.0)
    far = ((offset - share[..., None] * way) ** 2).sum(axis=-1)
    return np.take_along_axis(share, np.argmin(far, axis=0)[None], axis=0)[0]


def _box_around(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """Return the slices of the smallest box around a mask, and some pixels more."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (
        slice(max(rows[0] - margin, 0), rows[-1] + margin + 1),
        slice(max(columns[0] - margin, 0), columns[-1] + margin + 1),
    )

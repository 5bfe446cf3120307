"""Histograms and contact sheets, drawn by Pillow."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
from etils import epath
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from sora_jax.data.curation import measures
from sora_jax.data.curation.shots import Box

TILE = 128  # pixels of the short side of an example
COLUMNS = 4  # examples in a row
WIDTH, HEIGHT, MARGIN = 480, 160, 24  # pixels of a histogram
BARS = 48
INK, PAPER, BAR = (40, 40, 40), (255, 255, 255), (70, 110, 180)


def histogram(values: Float[np.ndarray, " n"], name: str) -> Image.Image:
    """Draw how many values there are in equal steps from the lowest to the highest.

    Values beyond the 99th percentile are counted in the last bar.
    """
    low, high = float(values.min()), float(np.percentile(values, 99))
    high = high if high > low else low + 1
    counts, _ = np.histogram(np.minimum(values, high), BARS, (low, high))
    image = Image.new("RGB", (WIDTH, HEIGHT + 2 * MARGIN), PAPER)
    draw = ImageDraw.Draw(image)
    step = (WIDTH - 2 * MARGIN) / BARS
    for number, count in enumerate(counts):
        left, bottom = MARGIN + number * step, MARGIN + HEIGHT
        top = bottom - math.ceil(HEIGHT * count / counts.max())
        if count:
            draw.rectangle((left, top, left + step - 1, bottom), fill=BAR)
    bottom = MARGIN + HEIGHT
    draw.line((MARGIN, bottom, WIDTH - MARGIN, bottom), fill=INK)
    draw.text((MARGIN, 6), f"{name}, of {len(values)} shots", fill=INK)
    draw.text((MARGIN, bottom + 6), f"{low:.4g}", fill=INK)
    draw.text((WIDTH - MARGIN, bottom + 6), f"{high:.4g}", fill=INK, anchor="ra")
    return image


def sheet(tiles: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Image.Image:
    """Draw numbered pictures in rows."""
    images = [Image.fromarray(tile) for tile in tiles]
    for image in images:
        image.thumbnail((2 * TILE, 2 * TILE))
    width = max(image.width for image in images) + 4
    height = max(image.height for image in images) + 18
    columns = min(COLUMNS, len(images))
    rows = math.ceil(len(images) / columns)
    paper = Image.new("RGB", (columns * width, rows * height), PAPER)
    draw = ImageDraw.Draw(paper)
    for number, image in enumerate(images):
        left, top = number % columns * width, number // columns * height
        draw.text((left + 2, top + 2), str(number + 1), fill=INK)
        paper.paste(image, (left + 2, top + 16))
    return paper


def outlined(
    frame: UInt8[np.ndarray, "h w 3"], crop: Box, size: tuple[int, int]
) -> UInt8[np.ndarray, "h w 3"]:
    """Draw the outline of a crop of frames of (height, width) `size`."""
    inside = measures.scaled(crop, size, (frame.shape[0], frame.shape[1]))
    image = Image.fromarray(frame)
    right, bottom = inside.left + inside.width - 1, inside.top + inside.height - 1
    ImageDraw.Draw(image).rectangle(
        (inside.left, inside.top, right, bottom), None, "red"
    )
    return np.asarray(image)


def save(image: Image.Image, path: epath.Path) -> None:
    """Write a picture as PNG."""
    content = io.BytesIO()
    image.save(content, format="PNG")
    path.write_bytes(content.getvalue())

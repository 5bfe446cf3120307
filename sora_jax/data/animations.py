"""Animated pictures that FFmpeg does not read, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from etils import epath
from jaxtyping import UInt8

from sora_jax.data import pictures
from sora_jax.data.video import to_uint8
from sora_jax.limits import LIMITS, Limits

# The formats that Pillow alone reads here.
FORMATS = ("WEBP",)
SHORTEST = 0.01  # seconds, of a frame that says it lasts no time


class Picture(NamedTuple):
    """A frame, and for how many seconds it is shown."""

    pixels: UInt8[np.ndarray, "h w 3"]
    seconds: float


def is_one(source: epath.Path) -> bool:
    """Whether a file begins like an animation that Pillow alone reads."""
    with source.open("rb") as file:
        head = file.read(12)
    return head[:4] == b"RIFF" and head[8:] == b"WEBP"


def frames_of(source: epath.Path, limits: Limits = LIMITS) -> Iterator[Picture]:
    """Yields the frames of an animation; alpha shows grey.

    Raises:
      ValueError: it is damaged, or larger than the limits allow.
    """
    with pictures.opened(source, FORMATS, limits) as image:
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            image.load()
            seconds = image.info.get("duration", 0) / 1000
            pixels = to_uint8(pictures.rgb(image))
            yield Picture(pixels, max(seconds, SHORTEST))

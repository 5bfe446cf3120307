"""Animated pictures through Pillow: GIF and WebP are written, and WebP is read.

FFmpeg, which reads GIF, knows no animated WebP.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import IO, Any, Literal, NamedTuple

import numpy as np
from etils import epath
from jaxtyping import UInt8
from PIL import Image

from sora_jax.data import pictures
from sora_jax.data.video import to_uint8
from sora_jax.limits import LIMITS, Limits

# The formats that Pillow alone reads here.
FORMATS = ("WEBP",)
# Seconds to which a format rounds its times.
TICKS = {"GIF": Fraction(1, 100), "WEBP": Fraction(1, 1000)}
# Viewers show what lasts less than two hundredths of a second for ten.
FASTEST = Fraction(50)
SHORTEST = 0.01  # seconds, of a frame that says it lasts no time


class Picture(NamedTuple):
    """A frame, and for how many seconds it is shown."""

    pixels: UInt8[np.ndarray, "h w 3"]
    seconds: float


def is_animation(source: epath.Path) -> bool:
    """Whether a file begins like an animation that Pillow alone reads."""
    with source.open("rb") as file:
        head = file.read(12)
    return head[:4] == b"RIFF" and head[8:] == b"WEBP"


def animation_frames(source: epath.Path, limits: Limits = LIMITS) -> Iterator[Picture]:
    """Yields the frames of an animation; alpha shows grey.

    Raises:
      ValueError: it is damaged, or larger than the limits allow.
    """
    with pictures.open_picture(source, FORMATS, limits) as image:
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            image.load()
            seconds = image.info.get("duration", 0) / 1000
            pixels = to_uint8(pictures.rgb(image))
            yield Picture(pixels, max(seconds, SHORTEST))


def write_animation(
    file: IO[bytes],
    frames: Iterable[UInt8[np.ndarray, "h w 3"]],
    fps: int | float,
    kind: Literal["GIF", "WEBP"] = "GIF",
    **options: Any,
) -> None:
    """Writes an endless animation; a GIF with a palette for each frame, undithered.

    Of more than 50 frames per second, those that no viewer shows are left out. What
    does not change is one longer frame.

    Args:
      file: where to write it.
      frames: at least one.
      fps: frames per second.
      kind: the format.
      **options: of the format, as Pillow names them.
    """
    rate = Fraction(fps).limit_denominator(1001)
    shown = min(rate, FASTEST)
    images, numbers = [], []
    for number, pixels in enumerate(frames):
        slot = int(number * shown / rate)
        if numbers and numbers[-1] == slot:
            continue
        image = Image.fromarray(pixels)
        if kind == "GIF":
            image = image.quantize(256, Image.Quantize.MEDIANCUT)
        images.append(image)
        numbers.append(slot)
    # Each time is rounded, and no length: the errors of lengths would add up.
    tick = TICKS[kind]
    times = [round(slot / shown / tick) for slot in (*numbers, numbers[-1] + 1)]
    lengths = [int(length * tick * 1000) for length in np.diff(times).tolist()]
    images[0].save(
        file,
        kind,
        save_all=True,
        append_images=images[1:],
        duration=lengths,
        loop=0,
        **options,
    )

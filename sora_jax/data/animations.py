"""Animations through Pillow: writes GIF and WebP, reads WebP.

FFmpeg reads GIF, but not animated WebP.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from sora_jax.data import pictures
from sora_jax.files import BinaryFile, Openable
from sora_jax.limits import LIMITS, Limits

# Formats that are read by Pillow, not by FFmpeg.
FORMATS = ("WEBP",)
# Seconds to which a format rounds its times.
TICKS = {"GIF": Fraction(1, 100), "WEBP": Fraction(1, 1000)}
# Viewers show frames shorter than 0.02 s for 0.1 s.
FASTEST = Fraction(50)
SHORTEST = 0.01  # seconds, for a frame of duration 0


class Picture(NamedTuple):
    """A frame, and for how many seconds it is shown."""

    pixels: UInt8[np.ndarray, "h w c"]
    seconds: float


def is_animation(source: Openable) -> bool:
    """Return whether a file begins like an animation that Pillow reads."""
    with source.open("rb") as file:
        head = file.read(12)
    return head[:4] == b"RIFF" and head[8:] == b"WEBP"


def animation_frames(
    source: Openable, limits: Limits = LIMITS, keep_alpha: bool = False
) -> Iterator[Picture]:
    """Yield the frames of an animation.

    Args:
      source: the file.
      limits: how large it may be.
      keep_alpha: return alpha, if it has any, as a fourth channel; else it shows grey.

    Raises:
      ValueError: it is damaged, or larger than the limits allow.
    """
    with pictures.open_picture(source, FORMATS, limits) as image:
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            image.load()
            seconds = image.info.get("duration", 0) / 1000
            pixels = pictures.pixels_of(image, keep_alpha)
            yield Picture(pixels, max(seconds, SHORTEST))


def write_animation(
    file: BinaryFile,
    frames: Iterable[UInt8[np.ndarray, "h w c"]],
    fps: int | float,
    kind: Literal["GIF", "WEBP"] = "GIF",
    **options: Any,
) -> None:
    """Write a looping animation; GIFs have a palette per frame and no dithering.

    Frames beyond 50 per second, which viewers cannot show, are dropped. Equal frames
    are merged into a longer one.

    Args:
      file: where to write it.
      frames: at least one; alpha is a fourth channel, of WebP only.
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
    # Round times, not durations, whose errors would add up.
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

"""Images from files: one-frame videos in [-1, 1]."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import IO

import numpy as np
from etils import epath
from jaxtyping import Float
from PIL import Image, ImageOps, UnidentifiedImageError

from sora_jax.data.video import over_grey, to_float
from sora_jax.files import PathLike, existing, quoted
from sora_jax.limits import LIMITS, Limits

# Formats of pictures. The others of Pillow's would take some videos for theirs, or
# start another program (PostScript).
STILLS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "TIFF", "WEBP")

# Those of them that may move.
ANIMATED = ("AVIF", "GIF", "PNG", "WEBP")

# What Pillow raises for files that are none, or damaged.
DAMAGED = (
    OSError,
    ValueError,
    SyntaxError,  # its word for a broken PNG
    EOFError,
    OverflowError,
    Image.DecompressionBombError,
)


def is_still(path: PathLike, *, field: str = "--video") -> bool:
    """Whether a file is one picture, which `read_image` reads.

    Raises:
      ValueError: the file is missing.
    """
    source = existing(path, field)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with source.open("rb") as file, Image.open(file, formats=STILLS) as image:
                return not _is_animated(image)
    except Image.DecompressionBombError:
        return True  # and `read_image` will say what is wrong with it
    except DAMAGED:
        return False


@contextlib.contextmanager
def opened(
    source: epath.Path, formats: tuple[str, ...] = STILLS, limits: Limits = LIMITS
) -> Iterator[Image.Image]:
    """Opens an image file, of which only the header is read.

    Raises:
      ValueError: it has more pixels than the limits allow.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with source.open("rb") as file, _image(file, formats) as image:
            if image.width * image.height > limits.pixels:
                raise ValueError(
                    f"it is {image.width}x{image.height}, more than {limits.pixels} "
                    "pixels: make it smaller first, or give --unlimited"
                )
            yield image


def read_image(
    path: PathLike, *, field: str = "--image", limits: Limits = LIMITS
) -> Float[np.ndarray, "1 h w c"]:
    """Reads an image as a one-frame video in [-1, 1].

    It is turned as its EXIF says. Transparency shows the grey (0) that stands for
    unknown pixels everywhere in this package.

    Args:
      path: a file in one of the formats `STILLS`; may be `gs://`.
      field: the flag or config field that error messages name.
      limits: how many pixels it may have.

    Raises:
      ValueError: the file is missing, not one image, damaged, or too large.
    """
    source = existing(path, field)
    try:
        with opened(source, limits=limits) as image:
            if _is_animated(image):
                hint = ", or is it a --video?" if field == "--image" else ""
                raise ValueError(f"it has several frames: give one of them{hint}")
            image.load()
            pixels = rgb(ImageOps.exif_transpose(image))
    except DAMAGED as error:
        raise ValueError(
            f"{field} {quoted(path)} cannot be read as an image ({error}); save it "
            "again as PNG or JPEG, or give another file"
        ) from error
    return pixels[None]


def _image(file: IO[bytes], formats: tuple[str, ...]) -> Image.Image:
    try:
        return Image.open(file, formats=formats)
    except UnidentifiedImageError as error:
        raise ValueError(f"it is none of {', '.join(formats)}") from error


def _is_animated(image: Image.Image) -> bool:
    # Layers, pages, and the other views that a camera keeps in a JPEG are no frames.
    return image.format in ANIMATED and getattr(image, "is_animated", False)


def rgb(image: Image.Image) -> Float[np.ndarray, "h w c"]:
    """Turns an image of any mode into three channels over grey.

    Raises:
      ValueError: its numbers are no brightness from black to white.
    """
    # Pillow would clip more than eight bits instead of scaling them.
    if image.mode.startswith("I;16"):
        return _grey(np.asarray(image).astype(np.float32) / np.float32(65535))
    if image.mode == "F":
        return _grey(_unit(np.asarray(image)))
    if image.mode == "I":
        raise ValueError("it holds 32-bit integers, whose white is not known")
    if image.has_transparency_data:
        return over_grey(np.asarray(image.convert("RGBA")))
    return to_float(np.asarray(image.convert("RGB")))


def _grey(values: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w 3"]:
    """Maps [0, 1] to three channels in [-1, 1]."""
    return np.repeat((values * 2 - 1)[..., None], 3, axis=2)


def _unit(values: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise ValueError(
            "it holds floats outside [0, 1] (black to white), from "
            f"{values.min():g} to {values.max():g}"
        )
    return values.astype(np.float32)

"""Images from files: one-frame videos in [-1, 1]."""

from __future__ import annotations

import os

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageOps

from sora_jax.data.video import over_grey, to_float
from sora_jax.files import PathLike, existing

# Formats of pictures. The others of Pillow's would take some videos for theirs.
STILLS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "TIFF", "WEBP")

# Those of them that may move.
ANIMATED = ("AVIF", "GIF", "PNG", "WEBP")


def is_still(path: PathLike, *, field: str = "--video") -> bool:
    """Whether a file is one picture, which `read_image` reads.

    Raises:
      ValueError: the file is missing.
    """
    source = existing(path, field)
    try:
        with source.open("rb") as file, Image.open(file, formats=STILLS) as image:
            return not _is_animated(image)
    except Image.DecompressionBombError:
        return True  # and `read_image` will say what is wrong with it
    except (OSError, ValueError, SyntaxError):
        return False


def read_image(
    path: PathLike, *, field: str = "--image"
) -> Float[np.ndarray, "1 h w c"]:
    """Reads an image as a one-frame video in [-1, 1].

    It is turned as its EXIF says. Transparency shows the grey (0) that stands for
    unknown pixels everywhere in this package.

    Args:
      path: a file in any format Pillow reads; may be `gs://`.
      field: the flag or config field that error messages name.

    Raises:
      ValueError: the file is missing, not one image, or damaged.
    """
    source = existing(path, field)
    try:
        with source.open("rb") as file, Image.open(file) as image:
            if _is_animated(image):
                hint = ", or is it a --video?" if field == "--image" else ""
                raise ValueError(f"it has several frames: give one of them{hint}")
            image.load()
            upright = ImageOps.exif_transpose(image)
            pixels = _rgb(upright)
    except (
        OSError,
        ValueError,
        SyntaxError,  # Pillow's word for a broken PNG
        Image.DecompressionBombError,
    ) as error:
        raise ValueError(
            f"{field} {os.fspath(path)!r} cannot be read as an image ({error}); "
            "save it again as PNG or JPEG, or give another file"
        ) from error
    return pixels[None]


def _is_animated(image: Image.Image) -> bool:
    # Layers, pages, and the other views that a camera keeps in a JPEG are no frames.
    return image.format in ANIMATED and getattr(image, "is_animated", False)


def _rgb(image: Image.Image) -> Float[np.ndarray, "h w c"]:
    """Turns an image of any mode into three channels over grey."""
    if image.mode.startswith("I;16"):
        # Pillow would clip sixteen bits to eight instead of scaling them.
        grey = np.asarray(image).astype(np.float32) / np.float32(32767.5) - 1
        return np.repeat(grey[..., None], 3, axis=2)
    if image.has_transparency_data:
        return over_grey(np.asarray(image.convert("RGBA")))
    return to_float(np.asarray(image.convert("RGB")))

"""Images from files: one-frame videos in [-1, 1]."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from sora_jax.data.video import over_grey, to_float, to_uint8
from sora_jax.files import BinaryFile, Openable, PathLike, existing, quoted
from sora_jax.limits import LIMITS, Limits

T = TypeVar("T")

# Picture formats. Pillow's other formats would accept some videos, or run another
# program (PostScript).
STILLS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "TIFF", "WEBP")

# Those of them that may move.
ANIMATED = ("AVIF", "GIF", "PNG", "WEBP")


def is_still(path: PathLike, *, field: str = "--video") -> bool:
    """Return whether a file is a single picture, for `read_image`.

    Raises:
      ValueError: the file is missing.
    """
    return _is_picture(existing(path, field), lambda image: True)


def is_untimed(path: PathLike, *, field: str = "--video") -> bool:
    """Return whether a file is a single picture, and no clip of one.

    Programs that write GIFs merge equal frames: of a clip in which nothing changes, one
    is left, with the time for which it is shown.

    Raises:
      ValueError: the file is missing.
    """
    return _is_picture(
        existing(path, field), lambda image: not image.info.get("duration", 0)
    )


def _is_picture(source: Openable, agrees: Callable[[Image.Image], bool]) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with source.open("rb") as file, Image.open(file, formats=STILLS) as image:
                return not _is_animated(image) and agrees(image)
    except Image.DecompressionBombError:
        return True  # `read_image` reports what is wrong
    except Exception:  # Pillow's parsers raise anything on damaged files
        return False


def check_picture(
    path: PathLike, field: str = "--image", limits: Limits = LIMITS
) -> None:
    """Check by its header that a file is a single picture.

    Raises:
      ValueError: see `read_image`.
    """
    picture_size(path, field, limits)


def picture_size(
    path: PathLike, field: str = "--image", limits: Limits = LIMITS
) -> tuple[int, int]:
    """Return the upright (height, width) of a picture; reads only its header.

    Raises:
      ValueError: see `read_image`.
    """
    return _read(path, field, limits, _upright_size)


def _upright_size(image: Image.Image) -> tuple[int, int]:
    is_turned = image.getexif().get(0x0112, 1) >= 5
    width, height = image.size
    return (width, height) if is_turned else (height, width)


@contextlib.contextmanager
def open_picture(
    source: Openable, formats: tuple[str, ...] = STILLS, limits: Limits = LIMITS
) -> Iterator[Image.Image]:
    """Open an image file; reads only its header.

    Raises:
      ValueError: it has more pixels than the limits allow.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what cannot be shown is an error
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
    """Read an image as a one-frame video in [-1, 1].

    It is rotated by its EXIF orientation. Transparent pixels become grey (0), the value
    of pixels that are not given.

    Args:
      path: a file in one of the formats `STILLS`; may be `gs://`.
      field: the flag or config field that error messages name.
      limits: how many pixels it may have.

    Raises:
      ValueError: the file is missing, not one image, damaged, or too large.
    """
    pixels = _read(path, field, limits, lambda x: rgb(ImageOps.exif_transpose(x)))
    return pixels[None]


def still_of(
    content: bytes, *, keep_alpha: bool = False
) -> UInt8[np.ndarray, "h w c"] | None:
    """Return the upright picture that some bytes are; None if they are none.

    Args:
      content: of a file.
      keep_alpha: return alpha, if it has any, as a fourth channel; else it shows grey.

    Raises:
      ValueError: it is damaged, or has more pixels than the limits allow.
    """
    if content[4:8] == b"ftyp" and content[8:12] not in (b"avif", b"avis"):
        return None  # a video, which Pillow needs not try
    try:
        file = io.BytesIO(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file, formats=STILLS) as image:
                if _is_animated(image):
                    return None
                if image.width * image.height > LIMITS.pixels:
                    raise ValueError(
                        f"a picture of {image.width}x{image.height} has more than "
                        f"{LIMITS.pixels} pixels: make it smaller"
                    )
                return pixels_of(ImageOps.exif_transpose(image), keep_alpha)
    except UnidentifiedImageError:
        return None
    except Exception as error:  # see `is_still`
        raise ValueError(f"a picture that cannot be read ({error})") from error


def _read(
    path: PathLike, field: str, limits: Limits, use: Callable[[Image.Image], T]
) -> T:
    source = existing(path, field)
    try:
        with open_picture(source, limits=limits) as image:
            if _is_animated(image):
                hint = ", or is it a --video?" if field == "--image" else ""
                raise ValueError(f"it has several frames: give one of them{hint}")
            return use(image)
    except Exception as error:  # see `is_still`
        raise ValueError(
            f"{field} {quoted(path)} cannot be read as an image ({error}); save it "
            "again as PNG or JPEG, or give another file"
        ) from error


def _image(file: BinaryFile, formats: tuple[str, ...]) -> Image.Image:
    try:
        return Image.open(file, formats=formats)
    except UnidentifiedImageError as error:
        raise ValueError(f"it is none of {', '.join(formats)}") from error


def _is_animated(image: Image.Image) -> bool:
    # Layers, pages, and additional views in a camera's JPEG are not frames.
    return image.format in ANIMATED and getattr(image, "is_animated", False)


def pixels_of(
    image: Image.Image, keep_alpha: bool = False
) -> UInt8[np.ndarray, "h w c"]:
    """Return the pixels of an image: RGB over grey, or RGBA if it has alpha to keep."""
    if keep_alpha and image.has_transparency_data:
        return np.asarray(image.convert("RGBA"))
    return to_uint8(rgb(image))


def rgb(image: Image.Image) -> Float[np.ndarray, "h w c"]:
    """Turns an image of any mode into three channels over grey.

    Raises:
      ValueError: its values have no defined range.
    """
    # Pillow would clip more than eight bits instead of scaling them.
    if image.mode.startswith("I;16"):
        return _deep(image)
    if image.mode == "F":
        return _grey(_unit(np.asarray(image)))
    if image.mode == "I":
        raise ValueError("it holds 32-bit integers, whose range is unknown")
    if image.has_transparency_data:
        return over_grey(np.asarray(image.convert("RGBA")))
    return to_float(np.asarray(image.convert("RGB")))


def _deep(image: Image.Image) -> Float[np.ndarray, "h w 3"]:
    """Convert 16-bit grey, of which one value may mean transparent."""
    values, bits = np.asarray(image), 16
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        (bits,) = image.tag_v2.get(258, (16,))[:1]
    grey = _grey(values.astype(np.float32) / np.float32(2**bits - 1))
    hidden = image.info.get("transparency")
    if isinstance(hidden, int):
        grey[values == hidden] = 0
    return grey


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


def write_png(file: BinaryFile, pixels: UInt8[np.ndarray, "h w c"]) -> None:
    """Writes a picture, RGB or RGBA, as PNG."""
    Image.fromarray(pixels).save(file, format="PNG")

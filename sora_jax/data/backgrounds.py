"""Named backgrounds for clips with transparency, and the words that tell them.

A background is plain, or a gradient from top to bottom. Its name fixes every pixel, so
that a prompt's background is known.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

RGB = tuple[int, int, int]


class Background(NamedTuple):
    """A gradient from the colour at the top to that at the bottom."""

    top: RGB
    bottom: RGB


def _plain(red: int, green: int, blue: int) -> Background:
    return Background((red, green, blue), (red, green, blue))


BACKGROUNDS = {
    "white": _plain(255, 255, 255),
    "black": _plain(16, 16, 20),
    "grey": _plain(144, 146, 150),
    "red": _plain(205, 60, 56),
    "orange": _plain(240, 150, 70),
    "yellow": _plain(246, 214, 96),
    "green": _plain(96, 170, 96),
    "teal": _plain(60, 150, 150),
    "light blue": _plain(170, 212, 240),
    "blue": _plain(64, 104, 196),
    "purple": _plain(128, 92, 180),
    "pink": _plain(246, 182, 204),
    "brown": _plain(134, 100, 74),
    "sky": Background((104, 168, 232), (226, 240, 250)),
    "sunset": Background((96, 76, 148), (250, 168, 96)),
    "night": Background((12, 14, 44), (58, 62, 120)),
    "meadow": Background((190, 226, 246), (120, 184, 92)),
}
# How a caption tells a background.
PHRASES = {
    "plain": ("on a {} background", "on {}", "in front of a {} wall", "over {}"),
    "sky": ("in the sky", "on a sky background", "under a bright sky"),
    "sunset": ("at sunset", "on a sunset background", "in front of a sunset"),
    "night": ("at night", "on a night background", "under a night sky"),
    "meadow": ("on a meadow", "on a meadow background", "in a green meadow"),
}


def phrases(name: str) -> tuple[str, ...]:
    """Return the phrasings of a background."""
    kind = name if name in PHRASES else "plain"
    texts = (phrase.format(name) for phrase in PHRASES[kind])
    return tuple(text.replace("a orange", "an orange") for text in texts)


def all_phrases() -> list[str]:
    """Return the phrasings of all backgrounds."""
    return [text for name in BACKGROUNDS for text in phrases(name)]


def picture(name: str, height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
    """Draw a background.

    Raises:
      KeyError: there is none of this name.
    """
    top, bottom = (np.array(colour, np.float32) for colour in BACKGROUNDS[name])
    share = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    rows = top + share * (bottom - top)
    return np.rint(np.repeat(rows, width, axis=1)).astype(np.uint8)


def blend(
    pixels: UInt8[np.ndarray, "t h w 4"], background: UInt8[np.ndarray, "h w 3"]
) -> UInt8[np.ndarray, "t h w 3"]:
    """Show frames with alpha over a background."""
    alpha = pixels[..., 3:].astype(np.float32) / np.float32(255)
    mixed = pixels[..., :3] * alpha + background * (1 - alpha)
    return np.rint(mixed).astype(np.uint8)


def over(
    pixels: UInt8[np.ndarray, "t h w c"], name: str
) -> UInt8[np.ndarray, "t h w 3"]:
    """Show frames over a named background; frames without alpha stay as they are."""
    if pixels.shape[-1] == 3:
        return pixels
    return blend(pixels, picture(name, *pixels.shape[1:3]))


def draw_name(rng: np.random.Generator) -> str:
    """Draw a background."""
    names = list(BACKGROUNDS)
    return names[int(rng.integers(len(names)))]

"""Convert decoded frames for display: upright, square pixels, BT.709 colours."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from av.filter import Graph
from jaxtyping import Shaped, UInt8

from sora_jax.data import hdr
from sora_jax.data.video import EXACT_SCALING, over_grey, to_uint8


class Orientation(NamedTuple):
    """A rotation or mirroring: swap rows and columns first, then flip them."""

    is_swapped: bool = False
    flips_rows: bool = False
    flips_columns: bool = False

    def __call__(
        self, pixels: Shaped[np.ndarray, "h w c"]
    ) -> Shaped[np.ndarray, "h2 w2 c"]:
        """Apply it to a frame."""
        pixels = np.swapaxes(pixels, 0, 1) if self.is_swapped else pixels
        rows, columns = (
            slice(None, None, -1 if flips else 1)
            for flips in (self.flips_rows, self.flips_columns)
        )
        return pixels[rows, columns]


def orientation(frame: Any) -> Orientation:
    """Return the nearest of the eight exact orientations to a frame's display matrix.

    A pixel at (x, y) is shown at (a x + c y, b x + d y) (ISO/IEC 14496-12, 8.2.2.3).
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return Orientation()
    a, b, _, c, d = (int(x) for x in np.frombuffer(bytes(matrix), np.int32)[:5])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(False, d < 0, a < 0)
    return Orientation(True, b < 0, c < 0)


def screen_size(stream: Any, frame: Any) -> tuple[int, int]:
    """Return the displayed (height, width) of a frame, in square pixels."""
    aspect = stream.sample_aspect_ratio or Fraction(1)
    height, width = frame.height, max(1, round(frame.width * aspect))
    return (width, height) if orientation(frame).is_swapped else (height, width)


def picture_of(
    stream: Any, first: Any, keep_alpha: bool = False
) -> Callable[[Any], UInt8[np.ndarray, "h w c"]]:
    """Return a function from the frames of a stream to pictures for display.

    Args:
      stream: of a container.
      first: its first frame.
      keep_alpha: return alpha as a fourth channel, instead of pictures over grey.
    """
    has_alpha = any(component.is_alpha for component in first.format.components)
    to_screen = hdr.conversion(first.color_trc, first.color_primaries)
    if to_screen is None:
        layout = "rgba" if has_alpha else "rgb24"
    else:
        layout = "rgba64le" if has_alpha else "rgb48le"
    graph = Graph()
    graph.link_nodes(
        graph.add_buffer(
            template=stream,
            width=first.width,
            height=first.height,
            format=first.format,
        ),
        graph.add("scale", f"flags={EXACT_SCALING}"),
        graph.add("format", layout),
        graph.add("buffersink"),
    ).configure()

    def picture(frame: Any) -> UInt8[np.ndarray, "h w c"]:
        graph.vpush(frame)
        pixels: Any = graph.vpull().to_ndarray()
        if to_screen is not None:
            colours = to_screen(pixels[..., :3])
            alpha = (pixels[..., 3:] >> 8).astype(np.uint8)
            pixels = np.concatenate([colours, alpha], axis=2)
        if has_alpha and not keep_alpha:
            pixels = to_uint8(over_grey(pixels))
        return orientation(frame)(pixels)

    return picture

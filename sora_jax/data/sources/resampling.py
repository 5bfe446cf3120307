"""Read frames at given times from encoded bytes, resized, with alpha if there is."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from sora_jax.data import decoding, pictures
from sora_jax.data.sources.protocol import Size

# Seconds by which a frame may come later than it is asked for.
SLACK = 1e-3


def read_at(
    content: bytes | UInt8[np.ndarray, "n rows columns 3"],
    times: Float[np.ndarray, " t"],
    size: Size,
    name: str,
    *,
    has_alpha: bool = False,
    fps: float = 1.0,
) -> UInt8[np.ndarray, "t h w c"]:
    """Read the frames that are displayed at some times.

    Args:
      content: of a video or picture file, or frames.
      times: in seconds, in any order; the last frame stays beyond the end.
      size: (height, width) that frames are cropped and scaled to.
      name: of the clip, in errors.
      has_alpha: whether to return a fourth channel.
      fps: of the frames, if these are given.

    Raises:
      ValueError: the content cannot be read.
    """
    order = np.argsort(times, kind="stable")
    channels = 4 if has_alpha else 3
    out = np.empty((len(times), *size, channels), np.uint8)
    waiting = list(order)
    before: decoding.TimedFrame | None = None
    start = float(times.min()) if len(times) else 0.0
    for shown in _frames(content, name, has_alpha, fps, start):
        while (
            before is not None and waiting and times[waiting[0]] + SLACK < shown.begin
        ):
            out[waiting.pop(0)] = _resized(before, size, channels)
        if not waiting:
            return out
        before = shown
    if before is not None and waiting:
        out[waiting] = _resized(before, size, channels)
    return out


def _frames(
    content: bytes | UInt8[np.ndarray, "n rows columns 3"],
    name: str,
    has_alpha: bool,
    fps: float,
    start: float,
) -> Iterator[decoding.TimedFrame]:
    if isinstance(content, bytes):
        picture = pictures.still_of(content, keep_alpha=has_alpha)
        if picture is None:
            yield from decoding.decode_bytes(
                content, name, keep_alpha=has_alpha, start=start
            )
            return
        content = picture[None]
    for number, pixels in enumerate(content):
        yield decoding.TimedFrame(
            pixels=partial(np.asarray, pixels),
            size=pixels.shape[:2],
            begin=number / fps,
            length=1 / fps,
            tick=1 / fps,
            rate=fps,
        )


def _resized(
    frame: decoding.TimedFrame, size: Size, channels: int
) -> UInt8[np.ndarray, "h w c"]:
    """Crop to the aspect ratio of a size, and scale."""
    pixels = frame.pixels()
    if channels == 4 and pixels.shape[2] == 3:
        pixels = np.pad(pixels, ((0, 0), (0, 0), (0, 1)), constant_values=255)
    height, width = size
    rows, columns = frame.size
    scale = max(height / rows, width / columns)
    across, down = pixels.shape[1] / columns, pixels.shape[0] / rows
    left = max((columns - width / scale) / 2, 0.0) * across
    top = max((rows - height / scale) / 2, 0.0) * down
    box = (left, top, pixels.shape[1] - left, pixels.shape[0] - top)
    # Pillow resizes RGBA with colours weighted by alpha, as blending needs it.
    image = Image.fromarray(pixels[..., :channels])
    how = Image.Resampling.BICUBIC
    return np.asarray(image.resize((width, height), how, box=box))

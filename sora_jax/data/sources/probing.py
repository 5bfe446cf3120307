"""Measure encoded clips: size, rate, number of frames, alpha, sound."""

from __future__ import annotations

import numpy as np
from av.error import FFmpegError
from jaxtyping import UInt8

from sora_jax.data import containers, decoding, pictures
from sora_jax.data.sources.protocol import ClipSpec
from sora_jax.files import InMemory

STILL_RATE = 1.0  # frames per second of a picture, which has none
FRAMES_RATE = 8.0  # of frames whose rate is not stored


def probe(content: bytes | UInt8[np.ndarray, "t h w 3"], name: str) -> ClipSpec:
    """Decode a clip once to measure it; it has no captions yet.

    Args:
      content: of a video or picture file, or frames.
      name: of the clip, in errors.

    Raises:
      ValueError: it cannot be read, or holds no frames.
    """
    if isinstance(content, np.ndarray):
        frames, height, width, _ = content.shape
        return ClipSpec(frames=frames, height=height, width=width, fps=FRAMES_RATE)
    picture = pictures.still_of(content, keep_alpha=True)
    if picture is not None:
        height, width, _ = picture.shape
        return ClipSpec(
            frames=1,
            height=height,
            width=width,
            fps=STILL_RATE,
            has_alpha=_shows_through(picture),
        )
    return _probe_video(content, name)


def _probe_video(content: bytes, name: str) -> ClipSpec:
    frames, seconds, size = 0, 0.0, (0, 0)
    may_show_through = has_alpha = False
    for shown in decoding.decode_bytes(content, name, keep_alpha=True):
        if not frames:
            size = shown.size
            may_show_through = shown.pixels().shape[2] == 4
        # All GIFs are decoded with alpha, though most do not use it.
        if may_show_through and not has_alpha:
            has_alpha = _shows_through(shown.pixels())
        frames, seconds = frames + 1, shown.begin + shown.length
    return ClipSpec(
        frames=frames,
        height=size[0],
        width=size[1],
        fps=frames / seconds,
        has_alpha=has_alpha,
        has_sound=_has_sound(content),
    )


def _shows_through(pixels: UInt8[np.ndarray, "h w c"]) -> bool:
    """Return whether a pixel is not opaque."""
    return pixels.shape[2] == 4 and bool(pixels[..., 3].min() < 255)


def _has_sound(content: bytes) -> bool:
    try:
        opened = containers.open_container(InMemory(content))
        with opened as (container, _, _):
            return bool(container.streams.audio)
    except (FFmpegError, ValueError):
        return False  # an animation that Pillow reads

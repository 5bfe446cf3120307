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
        height, width, channels = picture.shape
        return ClipSpec(
            frames=1,
            height=height,
            width=width,
            fps=STILL_RATE,
            has_alpha=channels == 4,
        )
    return _probe_video(content, name)


def _probe_video(content: bytes, name: str) -> ClipSpec:
    frames, seconds, size, has_alpha = 0, 0.0, (0, 0), False
    for shown in decoding.decode_bytes(content, name, keep_alpha=True):
        if not frames:
            size, has_alpha = shown.size, shown.pixels().shape[2] == 4
        frames, seconds = frames + 1, shown.begin + shown.length
    return ClipSpec(
        frames=frames,
        height=size[0],
        width=size[1],
        fps=frames / seconds,
        has_alpha=has_alpha,
        has_sound=_has_sound(content),
    )


def _has_sound(content: bytes) -> bool:
    try:
        opened = containers.open_container(InMemory(content))
        with opened as (container, _, _):
            return bool(container.streams.audio)
    except (FFmpegError, ValueError):
        return False  # an animation that Pillow reads

"""Clips for tests of files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.helpers.paths import MEDIA


def smooth_clip(frames: int = 9, height: int = 64, width: int = 64) -> np.ndarray:
    t, y, x = np.meshgrid(
        *(np.linspace(0, 1, size) for size in (frames, height, width)), indexing="ij"
    )
    waves = [np.sin(3 * y + 2 * t), np.cos(4 * x - t), np.sin(2 * x + 3 * y + t)]
    return (0.9 * np.stack(waves, axis=-1)).astype(np.float32)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(4 / np.mean((a - b) ** 2)))


needs_media = pytest.mark.skipif(not MEDIA.exists(), reason="no real clips here")
# (codec, pixels) that lose nothing.
EXACT = {".mkv": ("ffv1", "bgr0"), ".mov": ("png", "rgb24"), ".avi": ("ffv1", "bgr0")}


def write(
    path: Path,
    frames: np.ndarray,
    fps: int = 30,
    *,
    times: Sequence[int] | None = None,
    pixels: str | None = None,
    aspect: Fraction | None = None,
    turn: int = 0,
) -> Path:
    """Writes uint8 frames, losslessly, at `times` in units of 1 / fps."""
    codec, layout = EXACT[path.suffix]
    with av.open(os.fspath(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels or layout
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if turn:
            stream.set_display_rotation(turn)
        for index, image in enumerate(frames):
            colours = "rgba" if image.shape[-1] == 4 else "rgb24"
            frame = av.VideoFrame.from_ndarray(image, format=colours)
            frame.pts = times[index] if times else index
            frame.time_base = Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def numbered(count: int, height: int = 6, width: int = 10) -> np.ndarray:
    """Frames that show their number."""
    values = np.arange(count, dtype=np.uint8)[:, None, None, None]
    return np.broadcast_to(values, (count, height, width, 3)).copy()


def numbers(clip: np.ndarray) -> list[int]:
    return clip[:, 0, 0, 0].tolist()


def noise(count: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    shape = (count, height, width, channels)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)

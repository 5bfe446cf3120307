"""Clips for tests of files."""

import numpy as np


def smooth_clip(frames: int = 9, height: int = 64, width: int = 64) -> np.ndarray:
    t, y, x = np.meshgrid(
        *(np.linspace(0, 1, size) for size in (frames, height, width)), indexing="ij"
    )
    waves = [np.sin(3 * y + 2 * t), np.cos(4 * x - t), np.sin(2 * x + 3 * y + t)]
    return (0.9 * np.stack(waves, axis=-1)).astype(np.float32)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(4 / np.mean((a - b) ** 2)))

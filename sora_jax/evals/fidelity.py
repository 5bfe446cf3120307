"""Measure how well pixels are kept: by a VAE, and where a task gives them."""

from __future__ import annotations

import tempfile

import numpy as np
from jaxtyping import Bool, Float32

from sora_jax.data import decoding, outputs, video
from sora_jax.evals.case import Finding


def psnr(
    truth: Float32[np.ndarray, "*shape"], made: Float32[np.ndarray, "*shape"]
) -> float:
    """Return the peak signal-to-noise ratio of values in [-1, 1], in dB."""
    error = float(np.mean((truth.astype(np.float64) - made) ** 2))
    return 10.0 * float(np.log10(4.0 / max(error, 1e-10)))


def given_pixels(
    clip: Float32[np.ndarray, "t h w 3"],
    pixels: Float32[np.ndarray, "t h w 3"],
    given: Bool[np.ndarray, "t h w"],
    fps: float,
) -> list[Finding]:
    """Compare given pixels in bytes, and in the file that people get.

    Args:
      clip: what came back.
      pixels: what was given, in bytes as floats.
      given: where.
      fps: frames per second.
    """
    differ = video.to_uint8(clip)[given] != video.to_uint8(pixels)[given]
    with tempfile.TemporaryDirectory() as folder:
        path = outputs.write(f"{folder}/clip.mp4", [clip], fps)
        shown = video.to_float(decoding.read_video(path).pixels)
    return [
        Finding(
            measure="known pixels equal",
            stated="no other bytes",
            seen=f"{int(differ.sum())} other bytes",
            is_right=not bool(differ.any()),
        ),
        Finding(
            measure="known pixels in the mp4, dB",
            value=psnr(pixels[given], shown[given]),
        ),
    ]

"""Metrics of any video: fidelity of given pixels, and smoothness of joins."""

from __future__ import annotations

import tempfile

import numpy as np
from jaxtyping import Bool, Float, Float32

from sora_jax.data import decoding, outputs, video
from sora_jax.evals.case import Finding

_NEAR_JOIN = 8  # changes on either side of a join
_PERCENTILE = 90  # of the changes; robust to a nearby cut
_GOOD_SEAM = (0.5, 1.5)  # a change across a join, as a multiple of those around it
LEAST_CHANGE = 1.0 / 255.0  # what counts as a change at all


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
    """Compare given pixels as bytes, and after encoding to mp4.

    Args:
      clip: the output.
      pixels: the given pixels, bytes as floats.
      given: their mask.
      fps: frames per second.
    """
    differ = video.to_uint8(clip)[given] != video.to_uint8(pixels)[given]
    with tempfile.TemporaryDirectory() as folder:
        path = outputs.write(f"{folder}/clip.mp4", [clip], fps)
        shown = video.to_float(decoding.read_video(path).pixels)
    return [
        Finding(
            measure="given pixels equal",
            stated="no other bytes",
            seen=f"{int(differ.sum())} other bytes",
            is_right=not bool(differ.any()),
        ),
        Finding(
            measure="given pixels in the mp4, dB",
            value=psnr(pixels[given], shown[given]),
        ),
    ]


def changes(clip: Float32[np.ndarray, "t h w 3"]) -> Float[np.ndarray, " n"]:
    """Return the mean change from each frame to the next, for pixels in [0, 1].

    Args:
      clip: in [-1, 1].
    """
    return np.abs(np.diff(clip, axis=0)).mean(axis=(1, 2, 3)).astype(np.float64) / 2


def seam_ratio(clip: Float32[np.ndarray, "t h w 3"], join: int) -> float:
    """Return the change across a join as a multiple of those around it.

    Args:
      clip: in [-1, 1].
      join: the frame that follows it; 0 is where the last frame meets the first.
    """
    if join == 0:
        join = len(clip) // 2
        clip = np.roll(clip, join, axis=0)
    found = changes(clip)
    at = join - 1
    near = np.concatenate(
        [found[max(0, at - _NEAR_JOIN) : at], found[join : join + _NEAR_JOIN]]
    )
    return float(found[at] / max(np.percentile(near, _PERCENTILE), LEAST_CHANGE))


def seam(
    clip: Float32[np.ndarray, "t h w 3"], join: int, measure: str = "seam"
) -> Finding:
    """Check that the change across a join is like those near it."""
    low, high = _GOOD_SEAM
    found = seam_ratio(clip, join)
    return Finding(
        measure=measure,
        value=found,
        stated=f"{low}–{high}",
        seen=f"{found:.2f}",
        is_right=low <= found <= high,
    )

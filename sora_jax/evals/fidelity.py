"""Measure how well pixels are kept, on the whole and where the objects are."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32


def psnr(
    truth: Float32[np.ndarray, "*shape"], made: Float32[np.ndarray, "*shape"]
) -> float:
    """Return the peak signal-to-noise ratio of values in [-1, 1], in dB."""
    error = float(np.mean((truth.astype(np.float64) - made) ** 2))
    return 10.0 * float(np.log10(4.0 / max(error, 1e-10)))

"""How much changes at a join, beside what changes from frame to frame around it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32

from sora_jax.evals.case import Finding

_NEAR = 8  # changes on either side of a join
_MOST = 90  # percentile of them, which a cut nearby does not move
_GOOD = (0.5, 1.5)  # a change across a join, as a multiple of those around it
LEAST = 1.0 / 255.0  # what counts as a change at all


def changes(clip: Float32[np.ndarray, "t h w 3"]) -> Float[np.ndarray, " n"]:
    """Return the mean change from each frame to the next, for pixels in [0, 1].

    Args:
      clip: in [-1, 1].
    """
    return np.abs(np.diff(clip, axis=0)).mean(axis=(1, 2, 3)).astype(np.float64) / 2


def ratio(clip: Float32[np.ndarray, "t h w 3"], join: int) -> float:
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
    near = np.concatenate([found[max(0, at - _NEAR) : at], found[join : join + _NEAR]])
    return float(found[at] / max(np.percentile(near, _MOST), LEAST))


def seam(
    clip: Float32[np.ndarray, "t h w 3"], join: int, measure: str = "seam"
) -> Finding:
    """Say whether as much changes across a join as near it."""
    low, high = _GOOD
    found = ratio(clip, join)
    return Finding(
        measure=measure,
        value=found,
        stated=f"{low}–{high}",
        seen=f"{found:.2f}",
        is_right=low <= found <= high,
    )

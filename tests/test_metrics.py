"""Measures and statistics that hold for videos of any source."""

from __future__ import annotations

import numpy as np
import pytest

from sora_jax.evals import case, metrics, statistics


def test_wilson_is_what_the_book_says():
    # Newcombe (1998), table I: 81 of 263, 15 of 148, 0 of 20, 29 of 29.
    for counts, expected in (
        ((81, 263), (0.2553, 0.3662)),
        ((15, 148), (0.0624, 0.1605)),
        ((0, 20), (0.0, 0.1611)),
        ((29, 29), (0.8830, 1.0)),
    ):
        np.testing.assert_allclose(statistics.wilson(*counts), expected, atol=5e-5)
    with pytest.raises(ValueError, match="right must be from 0 to cases=3, got 4"):
        statistics.wilson(4, 3)


def test_means_of_few_values_are_less_sure():
    # Student's factors for 1 and for 15 degrees of freedom are 12.706 and 2.131.
    middle, half = statistics.mean_interval([0.0, 1.0])
    np.testing.assert_allclose((middle, half), (0.5, 12.706 * 0.5), atol=1e-3)
    _, half = statistics.mean_interval([0.0, 1.0] * 8)
    np.testing.assert_allclose(half, 2.131 * np.sqrt(4 / 15 / 16), atol=1e-3)


def moving(frames: int, steps: np.ndarray | float) -> np.ndarray:
    """A sheet that gets lighter from frame to frame."""
    values = np.cumsum(np.broadcast_to(steps, frames - 1)) - 1
    clip = np.concatenate([[-1.0], values])[:, None, None, None]
    return np.broadcast_to(clip, (frames, 8, 8, 3)).astype(np.float32)


def test_a_seam_is_a_change_unlike_those_around_it():
    smooth = moving(33, 0.04)
    np.testing.assert_allclose(metrics.seam_ratio(smooth, 16), 1, rtol=1e-4)
    jump = np.concatenate([smooth[:16], smooth[20:]])
    np.testing.assert_allclose(metrics.seam_ratio(jump, 16), 5, rtol=1e-4)
    stop = np.concatenate([smooth[:17], smooth[16:]])
    assert metrics.seam_ratio(stop, 17) == 0
    # What changes less than a byte is measured by a byte.
    np.testing.assert_allclose(
        metrics.seam_ratio(moving(33, 1 / 255), 16), 0.5, rtol=1e-3, atol=0
    )


def test_a_seam_may_be_anywhere_and_a_cut_nearby_does_not_count():
    steps = np.full(32, 0.02)
    steps[11] = 0.5
    for join in (1, 9, 16, 32):
        np.testing.assert_allclose(
            metrics.seam_ratio(moving(33, steps), join), 1, rtol=1e-4
        )
    there = moving(9, 0.1)
    loop = np.concatenate([there, there[-2:0:-1]])
    np.testing.assert_allclose(metrics.seam_ratio(loop, 0), 1, rtol=1e-4)
    np.testing.assert_allclose(metrics.seam_ratio(there, 0), 8, rtol=1e-4)


def test_a_baseline_stands_still():
    pixels = np.broadcast_to(np.arange(5.0)[:, None, None, None], (5, 1, 2, 3))
    given = np.zeros((5, 1, 2), bool)
    given[[1, 3], :, 0] = True
    shown = case.hold_given(pixels.astype(np.float32), given)
    assert shown[:, 0, 0, 0].tolist() == [1, 1, 1, 3, 3]
    assert not shown[:, :, 1].any()

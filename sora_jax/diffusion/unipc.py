"""UniPC, a multistep predictor and corrector, as a table of matrices."""

from __future__ import annotations

import math

import numpy as np


def unipc(sigmas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """UniPC of order 2, B2(h), in terms of predicted data (Zhao et al. 2023).

    Stack: the predicted sample, the corrected one before it, and the data predicted
    at the last two evaluations. A correction of the sample and the next prediction are
    one matrix.
    """
    evaluated = sigmas[:-1]
    # Rounded as in diffusers: the first is so near to 1 that it matters.
    sigmas = sigmas.astype(np.float32).astype(np.float64)
    x, last, m_1, m_2, v = np.eye(5)
    steps = len(sigmas) - 1
    matrices = []
    order = 0  # of the previous step
    for i in range(steps):
        m_0 = x - sigmas[i] * v
        corrected = x
        if i > 0:
            ratio = _ratio(sigmas, i - 1) if order > 1 else None
            corrected = _update(
                sigmas[i - 1], sigmas[i], last, m_1, m_2, ratio, corrector=m_0
            )
        order = min(2, i + 1, steps - i)
        ratio = _ratio(sigmas, i) if order > 1 else None
        predicted = _update(sigmas[i], sigmas[i + 1], corrected, m_0, m_1, ratio)
        matrices.append([predicted, corrected, m_0, m_1])
    return evaluated, np.array(matrices)


def _update(
    before: float,
    after: float,
    sample: np.ndarray,
    data: np.ndarray,
    earlier: np.ndarray,
    ratio: float | None,
    corrector: np.ndarray | None = None,
) -> np.ndarray:
    """Go from one level to the next; `ratio` is None for a first-order step."""
    h = _log_snr(after) - _log_snr(before)
    growth = math.expm1(-h)  # B2(h), and the first phi function times -h
    moved = after / before * sample - (1 - after) * growth * data
    differences = [] if ratio is None else [(earlier - data) / ratio]
    if corrector is None:
        weights = [0.5] * len(differences)
    else:
        differences.append(corrector - data)
        weights = _corrector_weights(h, growth, ratio)
    change = sum(w * d for w, d in zip(weights, differences, strict=True))
    return moved - (1 - after) * growth * change


def _corrector_weights(h: float, growth: float, ratio: float | None) -> list[float]:
    if ratio is None:
        return [0.5]
    # phi_2 and phi_3 of the exponential integrator, over B2(h).
    phi_2 = growth / -h - 1
    phi_3 = phi_2 / -h - 0.5
    right = np.array([phi_2, 2 * phi_3]) / growth
    return list(np.linalg.solve(np.array([[1.0, 1.0], [ratio, 1.0]]), right))


def _ratio(sigmas: np.ndarray, i: int) -> float:
    """Length of the step before step `i`, backwards, over that of step `i`."""
    here = _log_snr(sigmas[i])
    step = _log_snr(sigmas[i + 1]) - here
    return (_log_snr(sigmas[i - 1]) - here) / step


def _log_snr(sigma: float) -> float:
    return math.inf if sigma == 0 else math.log((1 - sigma) / sigma)

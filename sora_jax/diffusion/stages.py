"""Noise levels of a chunk that is denoised at several resolutions, coarse first.

As in Helios (arXiv 2603.04379, section 3.3), after pyramidal flow matching (arXiv
2410.05954): each stage is a flow of its own, from level 0.999 to 0, over a stretch of
the model's times. It begins with the end of the one before, enlarged, and noise that
breaks up the enlarged cells.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from sora_jax.diffusion import solvers, unipc
from sora_jax.diffusion.flow import shifted
from sora_jax.diffusion.solvers import Table
from sora_jax.types import AnyArray

MOST, STEPS = 0.999, 1000  # the first level, and steps of the model's training
# (tokens, growth) at two sizes, between which the shift of the levels grows.
GROWTH = ((256, 0.5), (4096, 1.15))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage of several.

    Attributes:
      times: the model's first and last time.
      enlarged: weight of the latents of the stage before, at the beginning.
      noise: weight of the noise that is added to them.
    """

    times: tuple[float, float]
    enlarged: float
    noise: float


def grown_shift(grows: str, tokens: int) -> float:
    """Return how the shift of the levels grows with the tokens of a stage.

    Args:
      grows: "no", "linear" or "exponential".
      tokens: of the stage.
    """
    if grows == "no":
        return 1.0
    (few, low), (many, high) = GROWTH
    growth = low + (high - low) * (tokens - few) / (many - few)
    return growth if grows == "linear" else math.exp(growth)


def stages_of(count: int, gamma: float) -> list[Stage]:
    """Return the stages of a chunk.

    Args:
      count: of them.
      gamma: how far the noise between them is correlated in each patch.
    """
    levels = MOST * (1 - np.arange(STEPS) / STEPS)
    begins = [int(i / count * STEPS) for i in range(count)]
    starts = [levels[i] for i in begins]
    ends = [*starts[1:], 0.0]
    weights = [(1.0, 0.0)]
    lengths = [starts[0] - ends[0]]
    for start, end in zip(starts[1:], ends[1:], strict=True):
        enlarged = 1 / (math.sqrt(1 + 1 / gamma) * start + (1 - start))
        weights.append((enlarged, enlarged * start / math.sqrt(gamma)))
        lengths.append(1 - enlarged * (1 - start) - end)
    shares = np.cumsum([0.0, *lengths]) / sum(lengths)
    shares[-1] = 1 - 1e-16
    times = [min(int(share * STEPS), STEPS - 1) for share in shares]
    return [
        Stage(
            times=(min(levels[first], MOST), levels[last]),
            enlarged=enlarged,
            noise=noise,
        )
        for first, last, (enlarged, noise) in zip(
            times[:-1], times[1:], weights, strict=True
        )
    ]


def stage_table(
    solver: str, steps: int, shift: float, stage: Stage | None, idle: int = 0
) -> Table:
    """Build the table of a solver for a stage.

    Args:
      solver: "euler", "unipc", or "renoise", whose noise is where the stage began.
      steps: of the stage.
      shift: moves the levels towards noise.
      stage: None for the only one of a chunk, whose times are its levels.
      idle: steps at the beginning in which the velocity counts as zero.
    """
    if stage is None:
        levels = shifted(np.linspace(MOST, 0.0, steps + 1), shift)
        times = levels[:-1]
    else:
        last = MOST / STEPS
        points = steps + 1 if solver == "renoise" else steps
        levels = np.linspace(MOST, last, points)[:steps]
        levels = np.append(shifted(levels, shift), 0.0)
        times = stage_times(stage, steps, points, levels, is_shifted=shift != 1)
    if solver == "unipc":
        evaluated, matrices = unipc.unipc(levels)
    elif solver == "euler":
        evaluated, matrices = solvers.euler(levels)
    else:
        evaluated, matrices = levels[:-1], restarting(levels)
    matrices[:idle, :, -1] = 0
    table = solvers.deterministic(evaluated, evaluated, matrices)
    return dataclasses.replace(table, times=times)


def stage_times(
    stage: Stage,
    steps: int,
    points: int,
    levels: Float[np.ndarray, " r"],
    *,
    is_shifted: bool,
) -> Float[np.ndarray, " r2"]:
    """Return the model's times of a stage's steps, in whole thousandths."""
    high, end = stage.times
    low = high + (end - high) * (STEPS - 1) / STEPS
    times = np.linspace(high, low, points)[:steps]
    if is_shifted:
        times = low + levels[:-1] * (high - low)
    return np.trunc(times * STEPS) / STEPS


def restarting(sigmas: Sequence[float] | np.ndarray) -> Float[np.ndarray, "r 2 3"]:
    """Predict the data, and mix it with where the stage began.

    The stack is the sample and, from the first step on, where it began.
    """
    matrices = []
    for i, (before, after) in enumerate(zip(sigmas[:-1], sigmas[1:], strict=True)):
        began = np.array([1.0, 0.0, 0.0]) if i == 0 else np.array([0.0, 1.0, 0.0])
        data = np.array([1.0, 0.0, -before])
        matrices.append([(1 - after) * data + after * began, began])
    return np.array(matrices)


def coarsened(latents: Float[AnyArray, "b t h w z"]) -> Float[AnyArray, "b t h2 w2 z"]:
    """Halve noise: the mean of four cells, scaled to keep its variance."""
    b, t, h, w, z = latents.shape
    return 2 * latents.reshape(b, t, h // 2, 2, w // 2, 2, z).mean(axis=(3, 5))


def enlarged(latents: Float[AnyArray, "b t h w z"]) -> Float[AnyArray, "b t h2 w2 z"]:
    """Double latents: repeat each cell."""
    return latents.repeat(2, axis=2).repeat(2, axis=3)


def correlated(
    noise: Float[AnyArray, "b t h w z"], gamma: float, patch: tuple[int, int]
) -> Float[AnyArray, "b t h w z"]:
    """Correlate white noise inside patches: covariance (1 + gamma) I - gamma 1 1^T."""
    b, t, h, w, z = noise.shape
    rows, columns = patch
    cells = noise.reshape(b, t, h // rows, rows, w // columns, columns, z)
    mean = cells.mean(axis=(3, 5), keepdims=True)
    white = math.sqrt(1 + gamma)
    along = math.sqrt(max(0.0, 1 + gamma - gamma * rows * columns))
    return (white * cells + (along - white) * mean).reshape(noise.shape)

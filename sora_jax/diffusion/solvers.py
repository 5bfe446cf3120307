"""Solvers of the probability-flow ODE as tables of matrices.

Every solver here is linear: its state (the sample, earlier samples and predictions) is
a stack of arrays, and a step maps the stack, the new velocity and, if the sampler is
stochastic, fresh noise to the next stack by one matrix. So a solver is a list of noise
levels and matrices, computed once in float64, and one jitted step runs them all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from sora_jax.diffusion import unipc
from sora_jax.diffusion.flow import shifted

SOLVERS = ("euler", "heun", "unipc", "renoise")
Number = int | float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """A solver as noise levels and matrices.

    Attributes:
      sigmas: the noise level of each evaluation of the model.
      times: the time passed to the model, in [0, 1].
      matrices: for each evaluation, maps the stack and (last column) the velocity to
        the next stack, whose first entry is the model's next input.
      noise: for each evaluation, the weight of fresh noise in each entry of the next
        stack; zeros in a deterministic solver.
    """

    sigmas: Float[np.ndarray, " r"]
    times: Float[np.ndarray, " r"]
    matrices: Float[np.ndarray, "r s s2"]
    noise: Float[np.ndarray, "r s"]

    @property
    def is_stochastic(self) -> bool:
        """Whether any step adds fresh noise."""
        return bool(self.noise.any())

    @property
    def size(self) -> int:
        """Arrays in the stack."""
        return self.matrices.shape[1]


def noise_levels(
    solver: str, steps: int, shift: Number, sigmas: Sequence[Number] = ()
) -> Float[np.ndarray, " r"]:
    """Return decreasing noise levels, the last of them 0.

    UniPC uses the log signal-to-noise ratio, which is infinite at pure noise: it starts
    a millionth below, with diffusers' levels.
    """
    if sigmas:
        levels = shifted(np.array([*sigmas, 0.0], np.float64), shift)
        return np.minimum(levels, 1 - 1e-6) if solver == "unipc" else levels
    if solver != "unipc":
        return shifted(np.linspace(1.0, 0.0, steps + 1), shift)
    levels = shifted(np.linspace(1.0, 0.001, steps + 1), shift)
    levels[0], levels[-1] = 1 - 1e-6, 0.0
    return levels


def make_table(
    solver: str,
    steps: int,
    shift: Number,
    strength: Number = 1,
    sigmas: Sequence[Number] = (),
) -> Table:
    """Build the table of a solver.

    Args:
      solver: "euler", "heun" (second order, two evaluations a step), "unipc", or
        "renoise" (of few-step models).
      steps: from pure noise to data.
      shift: moves the levels towards noise.
      strength: share of the steps to run, the last ones: 1 starts at pure noise, 0 runs
        none.
      sigmas: noise levels of the steps, before the shift; none: evenly spaced.
    """
    if solver not in SOLVERS:
        raise ValueError(f"solver must be one of {list(SOLVERS)}, got {solver!r}")
    levels = noise_levels(solver, steps, shift, sigmas)
    levels = levels[steps - round(strength * steps) :]
    if len(levels) == 1:
        return deterministic(levels[:0], levels[:0], np.zeros((0, 1, 2)))
    if solver == "renoise":
        return renoising_table(levels)
    evaluated, matrices = {"euler": euler, "heun": _heun, "unipc": unipc.unipc}[solver](
        levels
    )
    # With UniPC, diffusers truncates times to thousandths, which Wan's models expect.
    times = np.trunc(evaluated * 1000) / 1000 if solver == "unipc" else evaluated
    return deterministic(evaluated, times, matrices)


def deterministic(
    sigmas: Float[np.ndarray, " r"],
    times: Float[np.ndarray, " r"],
    matrices: Float[np.ndarray, "r s s2"],
) -> Table:
    """Build the table of a solver that adds no noise."""
    noise = np.zeros(matrices.shape[:2])
    return Table(sigmas=sigmas, times=times, matrices=matrices, noise=noise)


def renoising_table(sigmas: Float[np.ndarray, " r"]) -> Table:
    """Build the sampler of few-step models, from levels that end at 0.

    Each step predicts the data, which for such models is a sample, not a mean, and
    noises it to the next level with fresh noise: x = (1 - t) x_0 + t noise
    (Song et al. 2023, algorithm 1; Yin et al. 2024).
    """
    steps = [
        # From the stack and the velocity: x_0 is x - sigma velocity.
        ([[1 - after, -(1 - after) * before]], [after])
        for before, after in _pairs(sigmas)
    ]
    matrices, noise = map(np.array, zip(*steps, strict=True))
    return Table(sigmas=sigmas[:-1], times=sigmas[:-1], matrices=matrices, noise=noise)


def begin(x: Float[Array, "..."], table: Table) -> Float[Array, "s ..."]:
    """Return the stack before the first evaluation."""
    return jnp.stack([x] + [jnp.zeros_like(x)] * (table.size - 1))


def advance(
    stack: Float[Array, "s ..."],
    velocity: Float[Array, "..."],
    matrix: Float[Array, "s s2"],
    noise_weights: Float[Array, " s"] | None = None,
    noise: Float[Array, "..."] | None = None,
) -> Float[Array, "s ..."]:
    """Take one step of a table.

    Args:
      stack: the solver's state.
      velocity: predicted at the first entry of the stack.
      matrix: of the step.
      noise_weights: the step's row of `Table.noise`; without it no noise is added.
      noise: fresh, standard normal, of the sample's shape.
    """
    terms = jnp.concatenate([stack, velocity[None]])
    # Full precision, also on hardware whose default matmul is coarse.
    stepped = jnp.einsum("ij,j...->i...", matrix, terms, precision="highest")
    if noise_weights is None and noise is None:
        return stepped
    if noise_weights is None or noise is None:
        raise ValueError("noise and noise_weights must be given together")
    return stepped + jnp.einsum("i,...->i...", noise_weights, noise)


def euler(sigmas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Follow the velocity from level to level."""
    matrices = [[[1.0, after - before]] for before, after in _pairs(sigmas)]
    return sigmas[:-1], np.array(matrices)


def _heun(sigmas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Stack: the sample, the step's first sample, and its first velocity."""
    evaluated, matrices = [], []
    for before, after in _pairs(sigmas):
        step = after - before
        predict = [[1, 0, 0, step], [1, 0, 0, 0], [0, 0, 0, 1]]
        correct = [[0, 1, step / 2, step / 2], [0, 0, 0, 0], [0, 0, 0, 0]]
        evaluated.append(before)
        matrices.append(predict)
        if after > 0:  # the last step is Euler's: the model is not evaluated at 0
            evaluated.append(after)
            matrices.append(correct)
    return np.array(evaluated), np.array(matrices, np.float64)


def _pairs(sigmas: np.ndarray) -> list[tuple[float, float]]:
    return list(zip(sigmas[:-1], sigmas[1:], strict=True))

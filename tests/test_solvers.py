"""Each solver reproduces a known path, and converges at its order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sora_jax.diffusion import solvers
from sora_jax.diffusion.flow import shifted


def solve(solver, steps, velocity, x, **options):
    table = solvers.make_table(solver, steps, 1.0, **options)
    stack = solvers.begin(jnp.asarray(x), table)
    for sigma, matrix in zip(table.sigmas, table.matrices, strict=True):
        v = velocity(np.asarray(stack[0], np.float64), sigma)
        stack = solvers.advance(stack, jnp.float32(v), jnp.float32(matrix))
    return np.asarray(stack[0])


def gaussian(x, sigma, mean=0.5, std=0.5):
    """The exact velocity when the data are normal: known in closed form."""
    variance = ((1 - sigma) * std) ** 2 + sigma**2
    excess = x - (1 - sigma) * mean
    data = mean + (1 - sigma) * std**2 / variance * excess
    noise = sigma / variance * excess
    return noise - data


@pytest.mark.parametrize("solver", solvers.SOLVERS)
def test_one_data_point_is_reached_exactly(solver):
    point = np.float32([0.3, -0.7])

    def velocity(x, sigma):
        return (x - point) / sigma

    made = solve(solver, 6, velocity, np.float32([1.0, 2.0]))
    np.testing.assert_allclose(made, point, atol=2e-5)


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2), ("unipc", 2)])
def test_solvers_converge_at_their_order(solver, order):
    # Stop half way, where every solver's error is smooth in the step.
    start = np.float32([1.3])

    def exact(sigma):
        def std(s):
            return np.sqrt(((1 - s) * 0.5) ** 2 + s**2)

        first = table.sigmas[0]
        excess = start - (1 - first) * 0.5
        return (1 - sigma) * 0.5 + std(sigma) / std(first) * excess

    errors = []
    for steps in (16, 32):
        table = solvers.make_table(solver, steps, 1.0)
        stack = solvers.begin(jnp.asarray(start), table)
        half = [i for i, s in enumerate(table.sigmas) if s < table.sigmas[0] / 2 + 1e-9]
        for i in range(half[0]):
            v = gaussian(np.asarray(stack[0], np.float64), table.sigmas[i])
            matrix = jnp.float32(table.matrices[i])
            stack = solvers.advance(stack, jnp.float32(v), matrix)
        errors.append(abs(float(stack[0][0] - exact(table.sigmas[half[0]])[0])))
    assert np.log2(errors[0] / errors[1]) > order - 0.35


def test_strength_runs_the_end_of_the_path():
    whole = solvers.make_table("euler", 10, 3.0)
    part = solvers.make_table("euler", 10, 3.0, strength=0.4)
    np.testing.assert_allclose(part.sigmas, whole.sigmas[6:])


@pytest.mark.parametrize("solver", solvers.SOLVERS)
def test_levels_may_be_given_one_by_one(solver):
    even = solvers.make_table(solver, 3, 3.0)
    given = solvers.make_table(solver, 3, 3.0, sigmas=(1, 2 / 3, 1 / 3))
    # UniPC's own levels are spaced a little differently, as in diffusers.
    np.testing.assert_allclose(given.sigmas, even.sigmas, atol=1e-3)
    last = solvers.make_table(solver, 2, 1.0, 0.5, (0.9, 0.4))
    assert last.sigmas.max() == 0.4


def test_unknown_solver_is_named():
    with pytest.raises(ValueError, match="solver must be one of"):
        solvers.make_table("rk4", 10, 1.0)


def test_shifting_moves_towards_noise_and_keeps_the_ends():
    t = jnp.array([0.0, 0.5, 1.0])
    moved = shifted(t, jnp.array([3.0, 3.0, 3.0]))
    np.testing.assert_allclose(moved, [0.0, 0.75, 1.0], atol=1e-6)


def flow_map(x, sigma, mean=0.5, std=0.5):
    """The velocity of a perfect few-step model of normal data: x - sigma v is data."""
    spread = np.sqrt(((1 - sigma) * std) ** 2 + sigma**2)
    data = mean + std / spread * (x - (1 - sigma) * mean)
    return (x - data) / sigma


def sample_by_renoising(steps, key, count=100_000):
    first, *keys = jax.random.split(key, steps + 1)
    table = solvers.renoising_table(shifted(np.linspace(1.0, 0.0, steps + 1), 3.0))
    stack = solvers.begin(jax.random.normal(first, (count,)), table)
    for i, sigma in enumerate(table.sigmas):
        stack = solvers.advance(
            stack,
            jnp.float32(flow_map(np.asarray(stack[0], np.float64), sigma)),
            jnp.float32(table.matrices[i]),
            jnp.float32(table.noise[i]),
            jax.random.normal(keys[i], (count,)),
        )
    assert table.is_stochastic == (steps > 1)
    return np.asarray(stack[0])


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 8])
def test_renoising_keeps_mean_and_variance_at_every_number_of_steps(steps):
    samples = sample_by_renoising(steps, jax.random.key(steps))
    # Five standard errors.
    error = 5 / np.sqrt(len(samples))
    np.testing.assert_allclose(samples.mean(), 0.5, atol=0.5 * error)
    np.testing.assert_allclose(samples.std(), 0.5, rtol=error)
    again = sample_by_renoising(steps, jax.random.key(steps))
    np.testing.assert_array_equal(samples, again)


@pytest.mark.parametrize("solver", ["euler", "heun", "unipc"])
def test_a_deterministic_solver_ignores_noise(solver):
    table = solvers.make_table(solver, 4, 3.0)
    assert not table.is_stochastic
    x, v, noise = jax.random.normal(jax.random.key(0), (3, 50))
    stack, matrix = solvers.begin(x, table), jnp.float32(table.matrices[1])
    plain = solvers.advance(stack, v, matrix)
    noisy = solvers.advance(stack, v, matrix, jnp.float32(table.noise[1]), noise)
    np.testing.assert_array_equal(plain, noisy)

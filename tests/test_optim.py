"""The optimizer's step: accumulated, by Muon or AdamW, averaged, rounded."""

import dataclasses
import os
import platform

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict

from sora_jax import runtime
from sora_jax.config import (
    OptimConfig,
)
from sora_jax.training import optim, state, step


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_accumulating_halves_equals_the_whole_batch(name):
    params = {"up": {"kernel": jnp.eye(4)}, "scale": jnp.ones(4)}
    groups = {("up", "kernel"): "hidden", ("scale",): None}
    config = OptimConfig(name=name, lr=1e-2, warmup=1, clip=None)

    def loss(params, x):
        return jnp.mean((x @ params["up"]["kernel"] * params["scale"][None] - 1) ** 2)

    x = jax.random.normal(jax.random.key(0), (8, 4))
    whole = optim.optimizer(config, 10, groups)
    gradient = jax.jit(jax.grad(loss))
    update, _ = jax.jit(whole.update)(gradient(params, x), whole.init(params), params)
    halves = optim.optimizer(dataclasses.replace(config, accumulate=2), 10, groups)
    state_, add = halves.init(params), jax.jit(halves.update)
    for part in (x[:4], x[4:]):
        parted, state_ = add(gradient(params, part), state_, params)
    for a, b in zip(jax.tree.leaves(update), jax.tree.leaves(parted), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_run_that_accumulates_still_decays_to_zero():
    config = OptimConfig(lr=1e-2, warmup=1, decay=0.5, accumulate=4, weight_decay=0.0)
    transform, params = optim.optimizer(config, 40, {("w",): None}), {"w": jnp.ones(2)}
    carried, sizes, add = transform.init(params), [], jax.jit(transform.update)
    for _ in range(40):
        update, carried = add({"w": jnp.ones(2)}, carried, params)
        sizes.append(float(update["w"][0]))
    assert np.count_nonzero(sizes) == 10
    assert abs(sizes[-1]) < 0.3 * abs(sizes[3])


def test_muon_orthogonalises_matrices_and_leaves_the_others_to_adam():
    stacked = optim.matrix_axes("hidden", 4)  # (layers, in, 3, out)
    filters = optim.matrix_axes("hidden_filters", 5)
    assert stacked.reduction_axis == 1 and stacked.output_axis == -1
    assert optim.matrix_axes("hidden", 2).reduction_axis == 0
    assert filters.reduction_axis == (0, 1, 2, 3) and filters.output_axis == -1
    assert optim.matrix_axes("outer", 2) is None
    assert optim.matrix_axes(None, 1) is None


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_weights_decay_and_biases_scales_and_statistics_do_not(name):
    params = {
        "blocks": {"up": {"kernel": jnp.ones((2, 4, 4)), "bias": jnp.ones((2, 4))}},
        "norm": {"scale": jnp.ones((2, 4))},
        "latent_mean": jnp.ones(4),
    }
    groups = {path: None for path in flatten_dict(params)}
    groups["blocks", "up", "kernel"] = "hidden"
    config = OptimConfig(name=name, warmup=1, weight_decay=0.5)
    transform = optim.optimizer(config, 10, groups)
    still = jax.tree.map(jnp.zeros_like, params)
    carried = transform.init(params)
    update, _ = jax.jit(transform.update)(still, carried, params)
    assert jnp.all(update["blocks"]["up"]["kernel"] < 0)
    del update["blocks"]["up"]["kernel"]
    assert all(jnp.all(leaf == 0) for leaf in jax.tree.leaves(update))


def test_the_average_follows_the_parameters():
    optimization = step.Optimization(transform=optax.sgd(0.1), ema_decay=0.9)

    def loss(params, frozen, batch, key, step):
        del frozen, key, step
        return jnp.sum(params["w"] * batch), {}

    start = state.TrainState(
        step=jnp.int32(1000),
        params={"w": jnp.ones(3)},
        ema={"w": jnp.ones(3)},
        opt_state=optimization.transform.init({"w": jnp.ones(3)}),
    )
    after, metrics = step.train_step(loss, optimization, 0, start, {}, jnp.ones(3))
    np.testing.assert_allclose(after.params["w"], 0.9)
    np.testing.assert_allclose(after.ema["w"], 0.99)
    assert int(after.step) == 1001
    assert float(metrics["loss"]) == 3


def test_products_of_rounded_factors_move_parameters_nearly_as_exact_ones(monkeypatch):
    monkeypatch.delenv("ONEDNN_DEFAULT_FPMATH_MODE", raising=False)
    runtime.set_cpu_matmul_dtype("bfloat16")
    assert os.environ["ONEDNN_DEFAULT_FPMATH_MODE"] == "BF16"
    optimization = step.Optimization(transform=optax.sgd(1.0), ema_decay=0.9)
    x = jax.random.normal(jax.random.key(0), (64, 128))

    def loss(params, frozen, x, key, step):
        del frozen, key, step
        return jnp.mean((x @ params["w"]) ** 2), {}

    def one_step(products):
        """How parameters move, and the program that moves them."""
        w = {"w": jax.random.normal(jax.random.key(1), (128, 96))}
        start = state.TrainState(
            step=jnp.int32(0),
            params=w,
            ema=jax.tree.map(jnp.copy, w),
            opt_state=optimization.transform.init(w),
        )
        update = step.jitted_train_step(loss, optimization, 0, "cpu", products)
        before = np.asarray(w["w"])
        program = update.lower(start, {}, x).compile()
        after, _ = program(start, {}, x)
        return np.asarray(after.params["w"]) - before, program.as_text()

    (exact, plain), (rounded, told) = one_step("float32"), one_step("bfloat16")
    difference = np.linalg.norm(rounded - exact) / np.linalg.norm(exact)
    assert difference < 2**-8  # eight bits of a factor
    # Who multiplies depends on what is asked; whether it rounds, on the processor.
    assert "onednn" not in plain
    if platform.machine() in ("x86_64", "AMD64"):
        assert "onednn" in told

"""The optimizer's step: accumulated, by Muon or AdamW, averaged, rounded."""

import dataclasses
import os
import platform

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sora_jax import runtime
from sora_jax.config import (
    OptimConfig,
)
from sora_jax.training import optim, state


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_accumulating_halves_equals_the_whole_batch(name):
    params = {"up": {"kernel": jnp.eye(4)}, "scale": jnp.ones(4)}
    config = OptimConfig(name=name, lr=1e-2, warmup=1, clip=None)

    def loss(params, x):
        return jnp.mean((x @ params["up"]["kernel"] * params["scale"][None] - 1) ** 2)

    x = jax.random.normal(jax.random.key(0), (8, 4))
    whole = optim.optimizer(config, 10)
    update, _ = whole.update(jax.grad(loss)(params, x), whole.init(params), params)
    halves = optim.optimizer(dataclasses.replace(config, accumulate=2), 10)
    state_ = halves.init(params)
    for part in (x[:4], x[4:]):
        parted, state_ = halves.update(jax.grad(loss)(params, part), state_, params)
    for a, b in zip(jax.tree.leaves(update), jax.tree.leaves(parted), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_run_that_accumulates_still_decays_to_zero():
    config = OptimConfig(lr=1e-2, warmup=1, decay=0.5, accumulate=4, weight_decay=0.0)
    transform, params = optim.optimizer(config, 40), {"w": jnp.ones(2)}
    carried, sizes = transform.init(params), []
    for _ in range(40):
        update, carried = transform.update({"w": jnp.ones(2)}, carried, params)
        sizes.append(float(update["w"][0]))
    assert np.count_nonzero(sizes) == 10
    assert abs(sizes[-1]) < 0.3 * abs(sizes[3])


def test_muon_orthogonalises_matrices_and_leaves_the_rest_to_adam():
    params = {
        "blocks": {"qkv": {"kernel": jnp.zeros((2, 4, 3, 4)), "bias": jnp.zeros((2,))}},
        "conv": {"filters": jnp.zeros((3, 3, 3, 4, 8))},
        "embedding": jnp.zeros((9, 4)),
    }
    dimensions = optim.muon_dimensions(params)
    assert dimensions["blocks"]["qkv"]["kernel"].reduction_axis == 1
    assert dimensions["conv"]["filters"].reduction_axis == (0, 1, 2, 3)
    assert dimensions["embedding"] is None
    assert dimensions["blocks"]["qkv"]["bias"] is None


@pytest.mark.parametrize("outer", ["embed", "time", "time_table", "head"])
def test_muon_leaves_matrices_that_touch_data_to_adam(outer):
    params = {outer: {"up": {"kernel": jnp.zeros((4, 4))}}, "conv": {}}
    params["conv"][outer] = {"filters": jnp.zeros((1, 1, 1, 4, 4))}
    dimensions = optim.muon_dimensions(params)
    assert dimensions[outer]["up"]["kernel"] is None
    # A VAE's convolutions over time are hidden layers; its head is none.
    is_hidden = dimensions["conv"][outer]["filters"] is not None
    assert is_hidden == (outer != "head")


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_weights_decay_and_biases_scales_and_statistics_do_not(name):
    params = {
        "blocks": {"up": {"kernel": jnp.ones((2, 4, 4)), "bias": jnp.ones((2, 4))}},
        "norm": {"scale": jnp.ones((2, 4))},
        "latent_mean": jnp.ones(4),
    }
    transform = optim.optimizer(OptimConfig(name=name, warmup=1, weight_decay=0.5), 10)
    still = jax.tree.map(jnp.zeros_like, params)
    carried = transform.init(params)
    update, _ = transform.update(still, carried, params)
    assert jnp.all(update["blocks"]["up"]["kernel"] < 0)
    del update["blocks"]["up"]["kernel"]
    assert all(jnp.all(leaf == 0) for leaf in jax.tree.leaves(update))


def test_the_average_follows_the_parameters():
    optimization = state.Optimization(transform=optax.sgd(0.1), ema_decay=0.9)

    def loss(params, batch, key, step):
        del key, step
        return jnp.sum(params["w"] * batch), {}

    start = state.TrainState(
        step=jnp.int32(1000),
        params={"w": jnp.ones(3)},
        ema={"w": jnp.ones(3)},
        opt_state=optimization.transform.init({"w": jnp.ones(3)}),
    )
    after, metrics = state.update(loss, optimization, 0, start, jnp.ones(3))
    np.testing.assert_allclose(after.params["w"], 0.9)
    np.testing.assert_allclose(after.ema["w"], 0.99)
    assert int(after.step) == 1001
    assert float(metrics["loss"]) == 3


def test_products_of_rounded_factors_move_parameters_nearly_as_exact_ones(monkeypatch):
    monkeypatch.delenv("ONEDNN_DEFAULT_FPMATH_MODE", raising=False)
    runtime.set_cpu_matmul_dtype("bfloat16")
    assert os.environ["ONEDNN_DEFAULT_FPMATH_MODE"] == "BF16"
    optimization = state.Optimization(transform=optax.sgd(1.0), ema_decay=0.9)
    x = jax.random.normal(jax.random.key(0), (64, 128))

    def loss(params, x, key, step):
        del key, step
        return jnp.mean((x @ params["w"]) ** 2), {}

    def step(products):
        """How parameters move, and the program that moves them."""
        w = {"w": jax.random.normal(jax.random.key(1), (128, 96))}
        start = state.TrainState(
            step=jnp.int32(0),
            params=w,
            ema=jax.tree.map(jnp.copy, w),
            opt_state=optimization.transform.init(w),
        )
        update = state.jitted_update(loss, optimization, 0, products)
        before = np.asarray(w["w"])
        program = update.lower(start, x).compile()
        after, _ = program(start, x)
        return np.asarray(after.params["w"]) - before, program.as_text()

    (exact, plain), (rounded, told) = step("float32"), step("bfloat16")
    difference = np.linalg.norm(rounded - exact) / np.linalg.norm(exact)
    assert difference < 2**-8  # eight bits of a factor
    # Who multiplies depends on what is asked; whether it rounds, on the processor.
    assert "onednn" not in plain
    if platform.machine() in ("x86_64", "AMD64"):
        assert "onednn" in told

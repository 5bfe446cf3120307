"""MagCache: the steps that skip, what they compute, and the curve that is measured."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sora_jax.config import SamplingConfig
from sora_jax.models import dit_residuals
from sora_jax.sampling import (
    cached_steps,
    calibration,
    checks,
    denoising,
    job,
    magcache,
    spellings,
)
from sora_jax.sampling.model import Model
from sora_jax.sampling.prompt_cache import PromptCache
from sora_jax.sampling.request import Request
from sora_jax.sampling.window_sampler import Window, WindowSampler
from sora_jax.sharding import SINGLE_DEVICE

RATIOS = [1.0, 1.3, 1.05, 1.02, 0.99, 1.01, 0.98, 0.97, 0.99, 0.95, 0.9, 0.8]
TIMES = np.linspace(1, 0.1, len(RATIOS))
CURVE = tuple(zip(TIMES.tolist(), RATIOS, strict=True))
ON = {"cache": "magcache", "cache_curve": CURVE}


def settings(**options):
    return dataclasses.replace(SamplingConfig(cache_curve=CURVE), **options)


def published(ratios, threshold, most, retention):
    """The rule of MagCache's own code, for one of its two branches."""
    skips, ratio, error, steps = [], 1.0, 0.0, 0
    for i, current in enumerate(ratios):
        skip = False
        if i >= round(len(ratios) * retention):
            ratio *= current
            steps += 1
            error += abs(1 - ratio)
            if error < threshold and steps <= most:
                skip = True
            else:
                ratio, error, steps = 1.0, 0.0, 0
        skips.append(skip)
    return skips


@pytest.mark.parametrize("threshold", [0.0, 0.02, 0.06, 0.12, 9.0])
@pytest.mark.parametrize(("most", "retention"), [(1, 0.2), (2, 0.2), (4, 0.5)])
def test_steps_skip_by_the_published_rule(threshold, most, retention):
    asked = settings(
        cache_threshold=threshold, cache_max_skips=most, cache_retention=retention
    )
    skips = magcache.plan_skips(asked, TIMES, ["a"] * len(TIMES))
    assert list(skips) == published(RATIOS, threshold, most, retention)
    assert any(skips) == (threshold > 0)


def test_each_phase_begins_whole():
    asked = settings(cache_threshold=9.0, cache_max_skips=99, cache_retention=0.0)
    skips = magcache.plan_skips(asked, TIMES, "aaaabbbbbccc")
    assert skips == (False, *[True] * 3, False, *[True] * 4, False, *[True] * 2)


def test_a_curve_serves_other_numbers_of_steps():
    np.testing.assert_allclose(magcache.ratios_at(CURVE, TIMES), RATIOS)
    # Half as many steps: each ratio is the product of two.
    products = np.array(RATIOS[1:-1:2]) * RATIOS[2::2]
    np.testing.assert_allclose(magcache.ratios_at(CURVE, TIMES[::2])[1:], products)
    finer = magcache.ratios_at(CURVE, np.linspace(1, 0.1, 45))
    np.testing.assert_allclose(np.prod(finer), np.prod(RATIOS))


@pytest.fixture(scope="module")
def sampled(weights):
    """A sampler's inputs of one guided step, with a head that is not zero."""
    request = Request(settings=weights.config.sampling, prompts=("a red ball",))
    cache = PromptCache(weights)
    sampler = WindowSampler(weights, cache, request)
    batch = sampler.rows(Window(frames=2))
    contexts = cache.contexts(batch)
    tokens = denoising.place_tokens(batch.tokens, SINGLE_DEVICE)
    network = cache.network("dit", batch, contexts)
    stack = jnp.stack([sampler.start(Window(frames=2), batch.tokens)])
    scalars = (jnp.float32(0.7), jnp.float32([[1.0, -0.1]]), jnp.float32(4.0))
    return network, stack, tokens, contexts, scalars


def test_a_reused_residual_stands_for_the_blocks(sampled):
    network, stack, tokens, contexts, scalars = sampled
    plain = denoising.denoise_step(
        network, stack + 0, tokens, contexts, *scalars, is_guided=True
    )
    cache = cached_steps.ResidualCache([False, True, True])
    for number in range(3):  # the same inputs, so the same residual
        made = cache.step(
            number, network, stack + 0, tokens, contexts, *scalars, is_guided=True
        )
        np.testing.assert_allclose(made, plain, atol=1e-5)
    assert np.abs(np.asarray(plain - stack)).max() > 1e-3
    dit = nnx.merge(network.graphdef, network.params)
    velocity, residual = dit_residuals.velocity_and_residual(
        dit, tokens, contexts, network.memory, SINGLE_DEVICE
    )
    np.testing.assert_allclose(
        velocity, dit(tokens, contexts, network.memory), atol=1e-5
    )
    mask = tokens.target_mask
    ratio = cached_steps.magnitude_ratio(
        3 * residual, residual, mask, mesh_plan=SINGLE_DEVICE
    )
    np.testing.assert_allclose(ratio, 3.0, rtol=1e-5)


def test_a_threshold_of_nothing_changes_nothing(model):
    options = {"seed": 3, "steps": 4}
    plain = model.generate("a red ball", **options)
    whole = model.generate("a red ball", **options, **ON, cache_threshold=0.0)
    np.testing.assert_allclose(whole, plain, atol=1e-4)
    options |= ON | {"cache_threshold": 9.0, "cache_retention": 0.0}
    skipping = model.generate("a red ball", **options)
    assert np.abs(skipping - plain).max() > 1e-4
    np.testing.assert_array_equal(skipping, model.generate("a red ball", **options))


def test_a_curve_is_measured_and_read_again(tiny, tmp_path, monkeypatch):
    """Two transformers: the ratio is 1 where the second one takes over."""
    monkeypatch.setattr(calibration, "load", lambda folder, loras: Model(tiny))
    path = tmp_path / "curve.json"
    argv = ["--out", str(path), "--prompt", "a red ball", "--steps", "6"]
    calibration.main([*argv, "--frames", "5", "--size", "32x32"])
    curve = magcache.read_curve(path)
    times, ratios = np.array(curve).T
    boundary = tiny.config.boundary
    begins = [0, int(np.argmax(times < boundary))]
    assert len(curve) == 6 and 0 < begins[1]
    assert [i for i, ratio in enumerate(ratios) if ratio == 1] == begins
    assert json.loads(path.read_text())["model"] == "tiny"
    options = {"cache": "magcache", "cache_threshold": 9.0, "steps": 8, "seed": 1}
    made = Model(tiny).generate("a red ball", cache_curve=str(path), **options)
    same = Model(tiny).generate("a red ball", cache_curve=curve, **options)
    np.testing.assert_array_equal(made, same)
    with pytest.raises(ValueError, match="--out .* exists: give another name"):
        calibration.main(argv)


def prepare(line):
    asked = checks.check_flags(spellings.parse(line.split())).checked()
    return job.prepare(asked)


def test_what_is_wrong_with_a_cache(model, tmp_path):
    with pytest.raises(
        ValueError, match="cache_curve is missing: cache magcache needs"
    ):
        model.generate("a red ball", cache="magcache")
    with pytest.raises(ValueError, match="cache must be one of none, magcache") as told:
        model.generate("a", cache="tea", cache_curve=[(2.0, 1.0, 1.0)], steps="a")
    assert "cache_curve must be a file, or (time, ratio)" in str(told.value)
    with pytest.raises(ValueError, match="cache_curve must be .time from 0 to 1"):
        model.generate("a", cache_curve=[(2.0, 1.0)])
    path = tmp_path / "a.json"
    path.write_text('{"format": "sora_jax magcache", "curve": [[0.5, -1]]}')
    line = f"--prompt a --cache magcache --cache-curve {path} --out a.gif"
    with pytest.raises(ValueError, match="--cache-curve .* holds no curve of MagCache"):
        prepare(line)
    path.write_text(json.dumps(magcache.curve_file(CURVE)))
    made = prepare(line + " --cache-threshold 0.1")
    assert made.settings.cache_curve == CURVE and "magcache up to 0.1" in made.summary
    with pytest.raises(ValueError, match="--cache-max-skips does nothing without"):
        prepare("--prompt a --cache-max-skips 3")
    with pytest.raises(ValueError, match="--cache-retention must be from 0 to 1"):
        prepare("--prompt a --cache-retention 3")

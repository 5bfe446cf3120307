"""Recipes of step-distilled models: their loops and levels, and how to ask for them."""

import dataclasses
import json
import logging

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from sora_jax.config import RECIPES, SamplingConfig, recipe_settings
from sora_jax.diffusion import solvers
from sora_jax.sampling import checks, denoising, job, spellings
from sora_jax.sampling.model import Model
from sora_jax.sampling.prompt_cache import PromptCache
from sora_jax.sampling.request import Request
from sora_jax.sampling.window_sampler import Window, WindowSampler
from sora_jax.weights import adapter_recipes
from sora_jax.weights.adapter_paths import Lora
from tests.helpers.paths import ROOT

# As published: the loop, and the model's times after the shift.
PUBLISHED = {
    "lightx2v": ("E", [1000, 937.5, 833.33, 625]),
    "fastwan": ("R", [1000, 757, 522]),
    "causvid": ("R", [1000, 757, 522]),
    "causvid_9": ("R", [999, 934, 862, 756, 603, 410, 250, 140, 74]),
    "self_forcing": ("R", [1000, 937.5, 833.33, 625]),
    "causvid_causal": ("R", [1000, 757, 522]),
    "rcm": ("R", [987.7, 933.8, 852.9, 609.0]),
    "rcm_i2v": ("R", [995.0, 933.8, 852.9, 609.0]),
}


def table_of(name):
    settings = SamplingConfig().asked(**recipe_settings(name))
    return solvers.make_table(
        settings.solver, settings.steps, settings.shift, 1, settings.sigmas
    )


def velocity(x, sigma):
    return np.sin(3 * x + sigma) + sigma * x**2


def by_hand(loop, levels, noises):
    """Loops E and R as their papers give them, in float64."""
    x = noises[0] * levels[0]
    for i, level in enumerate(levels):
        after = levels[i + 1] if i + 1 < len(levels) else 0.0
        v = velocity(x, level)
        if loop == "E":
            x = x + (after - level) * v
        else:
            data = x - level * v
            x = (1 - after) * data + after * noises[i + 1]
    return x


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_its_published_loop(name):
    loop, times = PUBLISHED[name]
    table = table_of(name)
    np.testing.assert_allclose(table.times * 1000, times, atol=0.05)
    assert table.is_stochastic == (loop == "R")
    noises = np.random.default_rng(0).normal(size=(len(times) + 1, 50))
    stack = solvers.begin(jnp.float32(noises[0] * table.sigmas[0]), table)
    for i, sigma in enumerate(table.sigmas):
        v = jnp.float32(velocity(np.asarray(stack[0], np.float64), sigma))
        fresh = jnp.float32(table.noise[i]), jnp.float32(noises[i + 1])
        stack = solvers.advance(stack, v, jnp.float32(table.matrices[i]), *fresh)
    expected = by_hand(loop, table.sigmas, noises)
    np.testing.assert_allclose(stack[0], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("boundary", [0.875, 0.9])
def test_the_second_transformer_takes_over_after_two_steps(tiny, boundary):
    config = dataclasses.replace(tiny.config, boundary=boundary)
    weights = dataclasses.replace(tiny, config=config)
    settings = config.sampling.asked(**recipe_settings("lightx2v"))
    sampler = WindowSampler(weights, PromptCache(weights), Request(settings=settings))
    experts = [sampler.expert(time) for time in sampler.table.times]
    assert experts == [("dit", 1.0)] * 2 + [("dit_low", 1.0)] * 2
    assert not sampler.is_guided


@pytest.mark.parametrize("name", ["lightx2v", "causvid", "rcm"])
def test_models_sample_by_recipes(tiny, name):
    model = Model(tiny)
    made = model.generate("a red ball", recipe=name, seed=3)
    assert np.isfinite(made).all()
    again = model.generate("a red ball", **recipe_settings(name), seed=3)
    np.testing.assert_array_equal(made, again)


def test_initial_noise_is_scaled_to_the_first_level(tiny):
    settings = tiny.config.sampling.asked(**recipe_settings("rcm"))
    noise = np.ones((1, 2, 4, 4, 16), np.float32)
    request = Request(settings=settings, noise=noise)
    sampler = WindowSampler(tiny, PromptCache(tiny), request)
    batch = sampler.rows(Window(frames=2))
    start = np.asarray(sampler.start(Window(frames=2), batch.tokens))
    np.testing.assert_allclose(start[batch.tokens.target_mask[:1]], 80 / 81, rtol=1e-6)
    assert denoising.draw_noise(request, 0, (8, 4), 1).shape == (1, 8, 4)


def test_settings_beside_a_recipe_count_more():
    config = SamplingConfig(guidance_low=3.0)
    made = config.asked(**recipe_settings("rcm") | {"solver": "euler", "guidance": 2.0})
    assert (made.solver, made.guidance, made.guidance_low) == ("euler", 2.0, None)
    assert made.steps == len(made.sigmas) == 4
    assert made.asked(steps=9).sigmas == ()
    assert SamplingConfig().asked(sigmas=(1.0, 0.5)).steps == 2
    with pytest.raises(
        ValueError, match="steps must be the number of sigmas, 4, got 8"
    ):
        config.asked(**recipe_settings("rcm") | {"steps": 8})
    for wrong in ((0.5, 0.7), (1.5,), (0.5, 0.0), (0.5, float("nan"))):
        with pytest.raises(ValueError, match="sigmas must decrease, from at most 1"):
            SamplingConfig().asked(sigmas=wrong)


def test_a_wrong_name_lists_the_recipes(model):
    listed = f"recipe must be one of {', '.join(RECIPES)}, got 'fastwam'"
    with pytest.raises(ValueError, match=f"^{listed}: did you mean fastwan") as error:
        model.generate("a red ball", recipe="fastwam", steps="a")
    assert "steps must be" in str(error.value)
    line = "--prompt a --recipe fastwam --steps 0"
    with pytest.raises(ValueError, match=f"--{listed}") as error:
        prepare(line)
    assert "--steps must be" in str(error.value)


def prepare(line):
    return job.prepare(checks.check_flags(spellings.parse(line.split())))


def test_flags_beside_a_recipe():
    made = prepare("--prompt a --recipe causvid --guidance 2 --out a.gif")
    assert made.record["recipe"] == "causvid"
    assert (made.settings.steps, made.settings.guidance) == (3, 2.0)
    assert prepare("--prompt a --sigmas 1 .6 .3").settings.steps == 3
    with pytest.raises(ValueError, match="--steps must be the number of sigmas, 3"):
        prepare("--prompt a --recipe causvid --steps 4")
    with pytest.raises(ValueError, match="--preview contradicts explicit noise levels"):
        prepare("--prompt a --recipe causvid --preview")


def adapter(path, metadata):
    path.parent.mkdir(exist_ok=True)
    safetensors.numpy.save_file({"a": np.zeros(2, np.float32)}, path, metadata=metadata)
    return path


@pytest.mark.parametrize(
    ("metadata", "names"),
    [
        ({"recipe": "rcm"}, ["rcm"]),
        ({"modelspec.title": "Wan21_T2V_14B_lightx2v_cfg_step_distill"}, ["lightx2v"]),
        ({"ss_output_name": "Wan21-CausVid-bidirect2"}, ["causvid"]),
        ({"recipe": "causvid_9"}, ["causvid_9"]),
        ({"comment": "rcm"}, []),
        (None, []),
    ],
)
def test_adapters_name_recipes(tmp_path, metadata, names):
    assert adapter_recipes.recipes_of(
        adapter(tmp_path / "a.safetensors", metadata)
    ) == (names)


def test_a_recipe_is_suggested_once_and_not_applied(tmp_path, model, caplog):
    folder = tmp_path / "peft"
    adapter(folder / "adapter_model.safetensors", {"recipe": "fastwan"})
    (folder / "adapter_config.json").write_text(json.dumps({"r": 1, "lora_alpha": 1}))
    (line,) = adapter_recipes.suggestions([Lora(str(folder))])
    assert "try recipe fastwan (--recipe fastwan)" in line
    model = Model(model.weights, hints=[line])
    for recipe in ("fastwan", None, None):
        made = model.context({"recipe": recipe} if recipe else {})
        assert bool(made.settings.sigmas) == bool(recipe)
    assert caplog.messages == [line]
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        made = prepare(f"--prompt a --lora {folder}")
        assert caplog.messages == [line] and not made.settings.sigmas
        prepare(f"--prompt a --lora {folder} --recipe fastwan")
    assert caplog.messages == [line]


def test_the_page_tells_every_recipe():
    page = (ROOT / "docs" / "wan.md").read_text()
    assert [name for name in RECIPES if f"| `{name}` |" not in page] == []

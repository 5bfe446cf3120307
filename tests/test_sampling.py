"""Sampling repeats itself, keeps videos apart, and says what training did not cover."""

import dataclasses

import numpy as np
import pytest

import sora_jax
from sora_jax.config import SeenConfig
from sora_jax.diffusion import conditioning
from sora_jax.sampling import condition_encoding
from sora_jax.sampling.model import Model
from sora_jax.sampling.prompt_cache import PromptCache
from sora_jax.sampling.request import Request
from sora_jax.sampling.tasks import Stretch
from sora_jax.sampling.window_sampler import (
    Window,
    WindowSampler,
)
from sora_jax.types import Condition
from sora_jax.weights import bundle


def test_the_same_seed_gives_the_same_video(model):
    first = model.generate("a red ball", seed=3)
    assert first.shape == (1, 5, 32, 32, 3)
    np.testing.assert_array_equal(first, model.generate("a red ball", seed=3))
    assert np.abs(first - model.generate("a red ball", seed=4)).max() > 1e-3


def test_a_video_does_not_depend_on_its_neighbours(model):
    alone = model.generate("a red ball", seed=3)
    both = model.generate(["a red ball", "a blue square"], seed=3)
    np.testing.assert_allclose(both[:1], alone, atol=1e-4)


def test_the_prompt_and_the_image_matter(model):
    plain = model.generate("a red ball", seed=3)
    assert np.abs(plain - model.generate("a blue square", seed=3)).max() > 1e-4
    mask = conditioning.given_frames_mask(5, 32, 32, [0])
    pixels = np.full((5, 32, 32, 3), 0.5, np.float32)
    condition = conditioning.grey_out(pixels, mask)
    assert isinstance(condition, Condition)
    shown = model.generate("a red ball", seed=3, condition=condition)
    assert np.abs(plain - shown).max() > 1e-4


def test_what_lies_below_unknown_pixels_does_not_matter(model):
    mask = conditioning.given_frames_mask(5, 32, 32, [0])
    pixels = np.full((5, 32, 32, 3), 0.5, np.float32)

    def seen(condition):
        _, extras = condition_encoding.encode_conditions(
            model.weights, [(1.0, [condition])]
        )
        return extras[0][1]

    hidden = seen(conditioning.grey_out(pixels, mask))
    np.testing.assert_array_equal(hidden, seen(Condition(pixels=pixels, mask=mask)))
    assert np.abs(hidden).max() > 0


def test_a_condition_of_another_shape_is_refused(model):
    mask = conditioning.empty_mask(5, 16, 64)  # as many pixels, elsewhere
    condition = Condition(pixels=np.zeros((5, 16, 64, 3), np.float32), mask=mask)
    with pytest.raises(
        ValueError, match=r"condition.mask must be of shape \(5, 32, 32"
    ):
        model.generate("a red ball", condition=condition)
    with pytest.raises(ValueError, match="(?s)frames must be.*size: width.*"):
        model.generate("a red ball", frames=6, size=(32, 40))


def test_time_is_counted_in_the_frame_rate_of_training(weights):
    for fps, last in ((8.0, 1.0), (16.0, 0.5)):
        settings = dataclasses.replace(weights.config.sampling, fps=fps)
        request = Request(prompts=("a red ball",), settings=settings)
        rows = WindowSampler(weights, PromptCache(weights), request).rows(
            Window(frames=2)
        )
        assert rows.tokens.coords[..., 0].max() == last


def test_a_model_is_called_as_diffusers_calls_pipelines(model):
    made = model(
        "a red ball",
        num_frames=5,
        height=16,
        width=32,
        num_inference_steps=1,
        guidance_scale=1.0,
    )
    wanted = model.generate(
        "a red ball", frames=5, size=(16, 32), steps=1, guidance=1.0
    )
    np.testing.assert_array_equal(made, wanted)
    with pytest.raises(ValueError, match="give height and width"):
        model("a red ball", height=16)


@pytest.mark.parametrize("solver", ["euler", "heun", "renoise"])
def test_every_solver_runs(model, solver):
    made = model.generate("a red ball", solver=solver, steps=2, guidance=1.0)
    assert np.isfinite(made).all()


def test_weights_come_back_from_their_folder(weights, folder):
    loaded = bundle.load(folder)
    assert loaded.config == weights.config
    a, b = (w.networks["vae"].latent_std[...] for w in (loaded, weights))
    np.testing.assert_allclose(a, b, rtol=1e-2)


def test_what_a_model_has_never_seen_is_told_once(weights, caplog):
    seen = SeenConfig(sizes=((32, 32), (32, 48)), words=("a", "ball", "is", "red"))
    config = dataclasses.replace(weights.config, seen=seen)
    model = Model(dataclasses.replace(weights, config=config))
    for _ in range(2):
        model.generate("A red ball!", frames=1, steps=1, size=(32, 48))
    assert not caplog.messages
    for _ in range(2):
        model.generate("a red cat, 7", frames=1, steps=1, size=(64, 32), fps=5.0)
    size, rate, words = caplog.messages
    assert "was trained on 32x32, 48x32, not on 32x64" in size
    assert "on 8 frames per second, not on 5" in rate
    assert "not trained on 'cat': " in words
    caplog.clear()
    stretches = [
        Stretch(frame=0, prompt="a ball"),
        Stretch(frame=4, prompt="a ball " * 50),
        Stretch(frame=8, prompt="a dog", cut=True),
    ]
    model.storyboard(stretches, frames=12, steps=1, size=(32, 32))
    length, dog = caplog.messages
    room, count = weights.config.text.pad_to, weights.tokenizer.count("a ball " * 50)
    assert f"first {room} tokens" in length and f"has {count}" in length
    assert "not trained on 'dog'" in dog


def test_the_model_that_ships_answers_and_is_small(caplog):
    model = sora_jax.load()
    made = model.generate("a red ball on a green floor", frames=1, steps=1)
    assert not caplog.messages
    assert made.shape == (1, 1, 64, 64, 3) and np.isfinite(made).all()
    files = [path for path in bundle.ASSETS.iterdir() if path.is_file()]
    assert sum(path.stat().length for path in files) <= 11_000_000  # as the README says

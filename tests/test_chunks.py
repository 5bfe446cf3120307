"""Models that make a video chunk by chunk (Helios)."""

import dataclasses

import numpy as np
import pytest

from sora_jax.config import ChunksConfig, HistoryConfig
from sora_jax.diffusion import stages
from sora_jax.families import HELIOS
from sora_jax.families.helios import models
from sora_jax.families.wan.models import VAE_21
from sora_jax.models.dit import DiT
from sora_jax.models.vae import VAE
from sora_jax.sampling.model import Model
from sora_jax.sampling.tasks import Keyframe
from sora_jax.weights.model_weights import weights_in_memory
from tests.helpers.tiny import make

SIDE, CHUNK = 64, 5
DRAWN = np.random.default_rng(0)
CLIP = DRAWN.uniform(-1, 1, (12, SIDE, SIDE, 3)).astype(np.float32)
ASKED = {"steps": 1, "seed": 3}


@pytest.fixture(scope="module")
def model(tiny):
    """Two stages of chunks of five frames."""
    config = dataclasses.replace(
        models.MID,
        name="tiny",
        vae=dataclasses.replace(VAE_21, encoder_width=4, decoder_width=4),
        dit=dataclasses.replace(tiny.config.dit, history=HistoryConfig()),
        text=tiny.config.text,
        sampling=dataclasses.replace(
            models.MID.sampling, size=(SIDE, SIDE), frames=2 * CHUNK - 1, steps=1
        ),
        chunks=ChunksConfig(
            frames=2, long=4, mid=2, short=1, stages=2, grows="linear", zero_star=True
        ),
    )
    networks = {"text_encoder": tiny.networks["text_encoder"]}
    networks |= {"vae": make(VAE, config.vae), "dit": make(DiT, config.dit, seed=2)}
    return Model(weights_in_memory(config, tiny.tokenizer, family=HELIOS, **networks))


def test_a_chunk_depends_on_earlier_ones_alone_and_is_shown_when_it_is_made(model):
    loops = []

    def progress(numbers, unit):
        loops.append(unit)
        return numbers

    short = model.generate("a cat", frames=CHUNK, **ASKED)
    long = model.stream("a cat", frames=2 * CHUNK + 3, progress=progress, **ASKED)
    first = next(long)
    assert loops == ["window", "step", "step", "frame"]  # two stages of one chunk
    rest = np.concatenate(list(long), axis=1)
    frames = np.concatenate([first, rest], axis=1)
    assert frames.shape == (1, 2 * CHUNK + 3, SIDE, SIDE, 3)
    np.testing.assert_allclose(frames[:, :CHUNK], short, atol=1e-5)


def test_videos_go_on_from_a_picture_or_a_clip(model):
    text = model.generate("a cat", frames=CHUNK, **ASKED)[0]
    shown = model.animate(CLIP[:1], "a cat", frames=1 + CHUNK, **ASKED)
    np.testing.assert_array_equal(shown[:1], CLIP[:1])
    longer = model.extend(CLIP, "a cat", frames=CHUNK, **ASKED)
    np.testing.assert_array_equal(longer[: len(CLIP)], CLIP)
    new = [text, shown[1:], longer[len(CLIP) :]]
    assert {x.shape for x in new} == {text.shape}
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(new[one] - new[other]).max() > 1e-3


@pytest.mark.parametrize(
    "asked, told",
    [
        ({"window": 9}, "window: the model tiny makes chunks of 5 frames, got 9"),
        ({"solver": "heun"}, "solver heun: the model tiny has noise levels of its own"),
        ({"sigmas": (1.0, 0.5)}, "sigmas: the model tiny has noise levels of its own"),
        ({"size": (80, 64)}, "height must be a multiple of 32.*2 stages"),
    ],
)
def test_what_such_a_model_refuses(model, asked, told):
    with pytest.raises(ValueError, match=told):
        model.generate("a cat", frames=CHUNK, seed=1, **asked)
    with pytest.raises(ValueError, match="condition: the model tiny takes a first pic"):
        last = Keyframe(picture=CLIP[:1], frame=-1)
        model.animate([last], "a cat", frames=CHUNK)


def test_the_noise_between_stages_has_the_covariance_that_keeps_cells_apart():
    noise = DRAWN.normal(size=(1, 8, 64, 64, 2))
    x = stages.correlated(noise, 1 / 3, (2, 2)).reshape(8, 32, 2, 32, 2, 2)
    cells = x.transpose(0, 1, 3, 5, 2, 4).reshape(-1, 4)
    expected = (1 + 1 / 3) * np.eye(4) - 1 / 3
    np.testing.assert_allclose(np.cov(cells.T), expected, atol=0.03)
    coarse = stages.coarsened(noise)
    assert coarse.shape == (1, 8, 32, 32, 2) and abs(coarse.std() - 1) < 0.02

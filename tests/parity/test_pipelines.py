"""Solvers, token ids and whole pipelines equal the reference's."""

import re

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.wan.pipeline_wan import prompt_clean
from PIL import Image

from benchmarks import published
from sora_jax.data import video
from sora_jax.diffusion import solvers
from sora_jax.families.wan.tokenizer_json import for_transformers
from sora_jax.models.tokenizer import Tokenizer
from sora_jax.sampling.opening import load
from sora_jax.sampling.tasks import Keyframe
from tests.parity import reference
from tests.parity.reference import ASKED, PROMPT, noise_of, psnr, theirs_of


def velocity(x, sigma):
    return np.sin(3 * x + sigma) + sigma * x


@pytest.mark.parametrize("shift", [1.0, 3.0, 8.0])
@pytest.mark.parametrize("steps", [3, 20, 50])
@pytest.mark.parametrize("solver", ["unipc", "euler"])
def test_solvers_step_by_step(solver, steps, shift):
    table = solvers.make_table(solver, steps, shift)
    if solver == "unipc":
        theirs = reference.scheduler(shift)
        theirs.set_timesteps(steps)
        np.testing.assert_array_equal(
            theirs.timesteps.numpy(), np.round(table.times * 1000)
        )
    else:
        theirs = FlowMatchEulerDiscreteScheduler(shift=shift)
        theirs.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps).tolist())
        np.testing.assert_allclose(theirs.timesteps, table.times * 1000, rtol=1e-5)
    sigmas = theirs.sigmas.numpy()
    np.testing.assert_allclose(sigmas[:-1], table.sigmas, rtol=1e-5)
    x = np.random.default_rng(0).normal(size=(1, 5)).astype(np.float32)
    stack, sample = solvers.begin(jnp.asarray(x), table), torch.tensor(x)
    for i, time in enumerate(theirs.timesteps):
        v = velocity(np.asarray(stack[0]), table.sigmas[i])
        stack = solvers.advance(stack, jnp.float32(v), jnp.float32(table.matrices[i]))
        theirs_v = torch.tensor(velocity(sample.numpy(), table.sigmas[i]))
        sample = theirs.step(theirs_v.float(), time, sample).prev_sample
        np.testing.assert_allclose(stack[0], sample, rtol=1e-4, atol=1e-4)


def test_token_ids(tokenizer):
    theirs = reference.theirs(tokenizer)
    ours = Tokenizer(for_transformers(tokenizer.read_bytes()))
    for text in reference.texts(1000):
        wanted = theirs(
            prompt_clean(text), padding="max_length", max_length=64, truncation=True
        )
        assert ours.encode(text, 64).tolist() == wanted.input_ids


def test_whole_pipeline(folder):
    model = load(folder)
    noise = noise_of(model, ASKED["frames"], ASKED["size"])
    two = model.config.boundary is not None
    low = {"guidance_low": 3.0} if two else {}
    made = model.generate(PROMPT, init_noise=noise, **ASKED, **low)
    pipeline = reference.WanPipeline.from_pretrained(folder)
    low = {"guidance_scale_2": 3.0} if two else {}
    theirs = theirs_of(pipeline, noise, **low)
    assert np.std(theirs) > 0.05
    assert psnr((made + 1) / 2, theirs) > 50


@pytest.mark.parametrize("image_folder", ["flf2v"], indirect=True)
def test_the_table_of_published_weights(image_folder, capsys):
    asked = published.Asked(folder=str(image_folder), height=64, width=96, steps=2)
    assert published.main(asked) == 0
    assert len(re.findall(r"PSNR \| 1\d\d\.\d dB", capsys.readouterr().out)) == 2
    same = np.ones((1, 2), np.float32)
    assert published.compared("states of a prompt", same, 1.01 * same)[1] is False
    assert published.compared("video, steps: 1", same, same + 0.02)[1] is False


PICTURES = [(kind, 2 if kind == "flf2v" else 1) for kind in reference.IMAGE_KINDS]
PICTURES.append(("i2v_a14b", 2))


@pytest.mark.parametrize(("image_folder", "count"), PICTURES, indirect=["image_folder"])
def test_pictures_come_to_life(image_folder, count):
    model = load(image_folder)
    noise = noise_of(model, ASKED["frames"], ASKED["size"])
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (2, 64, 96, 3), np.uint8)[:count]
    at = [0, ASKED["frames"] - 1][:count]
    keyframes = [
        Keyframe(frame=i, picture=video.to_float(x)[None])
        for i, x in zip(at, pictures, strict=True)
    ]
    made = model.animate(keyframes, PROMPT, init_noise=noise, **ASKED)
    # What is known comes back as it was; theirs shows it through the VAE.
    np.testing.assert_array_equal(made[at], video.to_float(pictures))
    pipeline = reference.WanImageToVideoPipeline.from_pretrained(image_folder)
    first, *last = map(Image.fromarray, pictures)
    options = {"last_image": last[0]} if last else {}
    theirs = theirs_of(pipeline, noise, image=first, **options)[0]
    new = [i for i in range(ASKED["frames"]) if i not in at]
    assert psnr((made[new] + 1) / 2, theirs[new]) > 50

"""What we export loads in the reference's classes and makes the same videos."""

import dataclasses

import numpy as np
import pytest
import safetensors.numpy

from sora_jax.config import (
    ModelConfig,
    SamplingConfig,
    TextConfig,
    VAEConfig,
)
from sora_jax.families.wan import models
from sora_jax.models.dit import DiT
from sora_jax.models.text_encoder import TextEncoder
from sora_jax.models.tokenizer import train_tokenizer
from sora_jax.models.vae import VAE
from sora_jax.sampling.model import Model
from sora_jax.weights import folders
from sora_jax.weights.export import export
from sora_jax.weights.model_weights import weights_in_memory
from tests.helpers.tiny import make
from tests.parity import reference
from tests.parity.reference import ASKED, PROMPT, noise_of, psnr, theirs_of


def tensors_of(folder):
    return {
        path.relative_to(folder).parent / name: value
        for path in folder.rglob("*.safetensors")
        for name, value in safetensors.numpy.load_file(path).items()
    }


def test_import_and_export_are_bit_exact(folder, tmp_path):
    export(str(tmp_path / "out"), folders.load_weights(folder, exact=True))
    before, after = tensors_of(folder), tensors_of(tmp_path / "out")
    assert before.keys() == after.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(value, after[name], err_msg=str(name))
    again, first = folders.describe(tmp_path / "out"), folders.describe(folder)
    assert again == dataclasses.replace(first, name=again.name)


@pytest.fixture(scope="module")
def trained():
    """A model of our own kind, as far as Wan's classes go: other stages, byte pairs."""
    config = ModelConfig(
        name="ours",
        vae=VAEConfig(
            encoder_width=4,
            decoder_width=4,
            channels=4,
            multipliers=(1, 2, 2),
            temporal_padding="zeros",
        ),
        dit=dataclasses.replace(
            models.dit(width=48, depth=2, heads=2, mlp=40, channels=4),
            contexts=(("text", 24),),
        ),
        text=TextConfig(vocabulary=400, width=24, heads=2, head_dim=8, mlp=32),
        sampling=SamplingConfig(fps=8.0),
        fps=8.0,
        conditioning="nothing",
    )
    return weights_in_memory(
        config,
        train_tokenizer(reference.texts(300, seed=2), vocab_size=400),
        vae=make(VAE, config.vae),
        dit=make(DiT, config.dit),
        text_encoder=make(TextEncoder, config.text),
    )


def test_our_models_run_there(trained, tmp_path):
    model = Model(trained)
    export(str(tmp_path / "out"), trained)
    pipeline = reference.WanPipeline.from_pretrained(tmp_path / "out")
    for text in reference.texts(200):
        wanted = pipeline.tokenizer(
            reference.prompt_clean(text),
            padding="max_length",
            max_length=48,
            truncation=True,
        )
        assert trained.tokenizer.encode(text, 48).tolist() == wanted.input_ids
    noise = noise_of(model, ASKED["frames"], ASKED["size"])
    made = model.generate(PROMPT, init_noise=noise, **ASKED)
    pad_to = trained.config.text.pad_to
    theirs = theirs_of(pipeline, noise, max_sequence_length=pad_to)
    assert psnr((made + 1) / 2, theirs) > 50

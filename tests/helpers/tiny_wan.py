"""A Wan model of a size for tests, and its publishers' way to lay it out."""

import dataclasses
import json
import shutil

import safetensors.numpy

from sora_jax.config import SamplingConfig
from sora_jax.families import WAN
from sora_jax.families.wan import models
from sora_jax.models.dit import DiT
from sora_jax.models.text_encoder import TextEncoder
from sora_jax.models.tokenizer import train_tokenizer
from sora_jax.models.vae import VAE
from sora_jax.weights import transfer
from sora_jax.weights.model_weights import LazyNetworks, weights_in_memory
from sora_jax.weights.modules import flatten, parameters
from tests.helpers.tiny import make


def two_experts(text_config):
    """A Wan model of two experts; the text encoder is of the usual kind."""
    text = dataclasses.replace(text_config, pad_to=16)
    dit = models.dit(width=24, depth=2, heads=2, mlp=32)
    config = dataclasses.replace(
        models.WAN22_A14B,
        name="tiny",
        vae=dataclasses.replace(models.VAE_21, encoder_width=4, decoder_width=4),
        dit=dataclasses.replace(
            dit, time_features=16, contexts=(("text", text.width),)
        ),
        text=text,
        sampling=SamplingConfig(
            steps=3, frames=5, size=(32, 32), guidance_low=2.0, shift=12.0
        ),
    )
    words = ["a red ball moves right", "a blue square", "on a green floor"] * 40
    return weights_in_memory(
        config,
        train_tokenizer(words, vocab_size=320),
        family=WAN,
        vae=make(VAE, config.vae),
        dit=make(DiT, config.dit),
        dit_low=make(DiT, config.dit, seed=1),
        text_encoder=make(TextEncoder, config.text),
    )


def one_expert(two):
    """The same model with the first of its experts alone."""
    loaders = {**two.networks.loaders}
    del loaders["dit_low"]
    return dataclasses.replace(
        two,
        config=dataclasses.replace(two.config, boundary=None),
        networks=LazyNetworks(loaders),
    )


def lay_out(tiny, exported, path):
    """The same model as its publishers would lay it out."""

    def write(name, file):
        module = tiny.networks[name]
        table = WAN.networks[name].table(module.config, "original")
        tensors = dict(transfer.export_tensors(table, flatten(parameters(module))))
        file.parent.mkdir(parents=True, exist_ok=True)
        safetensors.numpy.save_file(tensors, file)

    dit = tiny.config.dit
    told = {
        "_class_name": "WanModel",
        "model_type": "t2v",
        "dim": dit.width,
        "ffn_dim": dit.mlp,
        "freq_dim": dit.time_features,
        "in_dim": 16,
        "num_heads": dit.heads,
        "num_layers": dit.depth,
        "out_dim": 16,
    }
    for name, folder in (("dit", "high_noise_model"), ("dit_low", "low_noise_model")):
        write(name, path / folder / "diffusion_pytorch_model.safetensors")
        (path / folder / "config.json").write_text(json.dumps(told))
    write("vae", path / "Wan2.1_VAE.safetensors")
    write("text_encoder", path / "models_t5_umt5-xxl-enc-bf16.safetensors")
    tokenizer = path / "google" / "umt5-xxl" / "spiece.model"
    tokenizer.parent.mkdir(parents=True)
    shutil.copy(exported / "tokenizer" / "spiece.model", tokenizer)
    return path

"""A Wan model of a size for tests, and its publishers' way to lay it out."""

import dataclasses
import json
import shutil

import safetensors.numpy

from sora_jax.config import PictureConfig, SamplingConfig
from sora_jax.families import WAN
from sora_jax.families.wan import models
from sora_jax.models.dit import DiT
from sora_jax.models.picture_encoder import PictureEncoder
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


# Two heads of CLIP's 80 features, and 5 states of a picture.
PICTURE = PictureConfig(width=160, depth=2, heads=2, mlp=32, size=28)


def animates(two, published):
    """A small model of the kind of a published one that animates pictures."""
    contexts = [("text", two.config.text.width)]
    if published.picture is not None:
        contexts.append(("picture", PICTURE.width))
    sampling = two.config.sampling
    config = dataclasses.replace(
        two.config,
        name=published.name,
        dit=dataclasses.replace(
            two.config.dit,
            extra_channels=20,
            contexts=tuple(contexts),
            picture_positions=10 if published.dit.picture_positions else 0,
        ),
        sampling=dataclasses.replace(sampling, context=published.sampling.context),
        conditioning="channels",
        keyframes=published.keyframes,
        picture=published.picture and PICTURE,
        boundary=published.boundary,
    )
    networks = {name: two.networks[name] for name in ("vae", "text_encoder")}
    networks["dit"] = make(DiT, config.dit, seed=2)
    if config.boundary is not None:
        networks["dit_low"] = make(DiT, config.dit, seed=3)
    if config.picture is not None:
        networks["picture_encoder"] = make(PictureEncoder, config.picture)
    return weights_in_memory(config, two.tokenizer, family=WAN, **networks)


def controls(two):
    """A small model with a control branch, as VACE's."""
    config = dataclasses.replace(
        two.config,
        name="vace",
        dit=dataclasses.replace(
            two.config.dit, control_channels=96, control_layers=(1,)
        ),
        conditioning="control",
        boundary=None,
    )
    networks = {name: two.networks[name] for name in ("vae", "text_encoder")}
    networks["dit"] = make(DiT, config.dit, seed=2)
    return weights_in_memory(config, two.tokenizer, family=WAN, **networks)


def causal(two, **fields):
    """A small causal model, as Self-Forcing's but for the fields given."""
    published = models.WAN21_1B3_CAUSAL
    config = dataclasses.replace(
        two.config,
        name=published.name,
        sampling=dataclasses.replace(
            published.sampling, frames=9, size=(32, 32), context=9
        ),
        conditioning=published.conditioning,
        causal=dataclasses.replace(published.causal, **fields),
        boundary=None,
    )
    return dataclasses.replace(one_expert(two), config=config)


def one_expert(two):
    """The same model with the first of its experts alone."""
    loaders = {**two.networks.loaders}
    del loaders["dit_low"]
    return dataclasses.replace(
        two,
        config=dataclasses.replace(two.config, boundary=None),
        networks=LazyNetworks(loaders),
    )


def lay_out(tiny, exported, path, model_type="t2v"):
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
        "model_type": model_type,
        "dim": dit.width,
        "ffn_dim": dit.mlp,
        "freq_dim": dit.time_features,
        "in_dim": 16 + dit.extra_channels,
        "num_heads": dit.heads,
        "num_layers": dit.depth,
        "out_dim": 16,
    }
    if dit.control_layers:
        told["vace_layers"] = list(dit.control_layers)
        told["vace_in_dim"] = dit.control_channels
    if tiny.config.causal is not None:
        told["causal"] = dataclasses.asdict(tiny.config.causal)
    folders = {"dit": "high_noise_model", "dit_low": "low_noise_model"}
    if tiny.config.boundary is None:
        folders = {"dit": "."}
    for name, folder in folders.items():
        write(name, path / folder / "diffusion_pytorch_model.safetensors")
        (path / folder / "config.json").write_text(json.dumps(told))
    if tiny.config.picture is not None:
        write("picture_encoder", path / "models_clip_vit-h.safetensors")
    write("vae", path / "Wan2.1_VAE.safetensors")
    write("text_encoder", path / "models_t5_umt5-xxl-enc-bf16.safetensors")
    tokenizer = path / "google" / "umt5-xxl" / "spiece.model"
    tokenizer.parent.mkdir(parents=True)
    shutil.copy(exported / "tokenizer" / "spiece.model", tokenizer)
    return path

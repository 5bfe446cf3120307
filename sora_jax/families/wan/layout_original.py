"""Wan's models as their publishers lay them out, their pickles turned to safetensors.

One folder: the transformer's shards beside its `config.json` (or two such folders, for
high and for low noise), the VAE and the text encoder as a file each, and the tokenizer.
The last two have no config; their sizes are read off the shapes of their tensors.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from sora_jax import files, limits
from sora_jax.config import DiTConfig, ModelConfig, TextConfig, VAEConfig, wan
from sora_jax.families.wan import json_fields, network_json
from sora_jax.weights import shards
from sora_jax.weights.network import COPY, Folder, Network, conditioning_of
from sora_jax.weights.parts import DIT_LOW
from sora_jax.weights.shards import Stored
from sora_jax.workdir import read_json

HIGH, LOW = "high_noise_model", "low_noise_model"
TRANSFORMER = "diffusion_pytorch_model"
TEXT, VAE = "models_t5_*", "*VAE*"
# What a transformer's config must say, where it says anything.
FIXED = {"eps": 1e-6, "qk_norm": True, "cross_attn_norm": True}
TOKENIZER = ("google", "umt5-xxl", "spiece.model")


def is_one(where: epath.Path) -> bool:
    """Whether a folder has this layout."""
    path = where / "config.json"
    if (where / HIGH / "config.json").exists():
        return True
    return path.exists() and read_json(path, COPY).get("_class_name") == "WanModel"


def read(where: epath.Path) -> Folder:
    """Find the networks of a folder.

    Raises:
      ValueError: a file is missing, is a pickle, or is of a kind not built here.
    """
    two = (where / HIGH).exists()
    first = where / HIGH if two else where
    data = read_json(first / "config.json", COPY)
    vae_file, text_file = only(where, VAE), only(where, TEXT)
    vae_stored = shards.read_headers([vae_file])
    text_stored = shards.read_headers([text_file])
    vae = vae_sizes(vae_stored)
    told = json_fields.checked("transformer", data, json_fields.Original)
    text = text_sizes(text_stored, told.text_len)
    dit = read_dit(data, text.width)
    conditioning = conditioning_of(dit.extra_channels, told.model_type == "ti2v")
    published = wan.closest(dit, conditioning, 0.5 if two else None)
    config = ModelConfig(
        name=published.name if published.dit == dit else where.name,
        vae=vae,
        dit=dit,
        text=text,
        sampling=published.sampling,
        fps=None,
        conditioning=conditioning,
        boundary=published.boundary,
    )
    networks = {
        "text_encoder": network(text_file, text, text_stored),
        "dit": network(first, dit, transformer(first)),
        "vae": dataclasses.replace(
            network(vae_file, vae, vae_stored),
            statistics=statistics(vae),
        ),
    }
    if two:
        low = read_json(where / LOW / "config.json", COPY)
        if read_dit(low, text.width) != dit:
            raise ValueError(
                f"weights folder {str(where)!r}: {LOW} is of another kind or size than "
                f"{HIGH}: {COPY}"
            )
        networks[DIT_LOW] = network(where / LOW, dit, transformer(where / LOW))
    return Folder(
        config=config, networks=networks, tokenizer=where.joinpath(*TOKENIZER)
    )


def network(where: epath.Path, config: Any, stored: Mapping[str, Stored]) -> Network:
    """A network of this layout."""
    return Network(where=str(where), config=config, layout="original", stored=stored)


def transformer(folder: epath.Path) -> dict[str, Stored]:
    """The tensors of a transformer, whose shards lie among other files."""
    return shards.read_headers(shards.find(folder, TRANSFORMER))


def only(where: epath.Path, pattern: str) -> epath.Path:
    """The one safetensors file of that name.

    Raises:
      ValueError: there is none, or a pickle in its place.
    """
    files = sorted(where.glob(f"{pattern}.safetensors"))
    if len(files) > 1:
        raise ValueError(
            f"weights folder {str(where)!r} holds {len(files)} files {pattern}: leave "
            "the one that is meant"
        )
    if files:
        return files[0]
    shards.refuse_pickles(where, pattern)
    raise ValueError(
        f"weights folder {str(where)!r} lacks {pattern}.safetensors: " + COPY
    )


def statistics(vae: VAEConfig) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and standard deviation of the latents, which the files do not hold.

    Raises:
      ValueError: the VAE is none of the published ones.
    """
    found = wan.LATENTS_22 if vae.shortcuts else wan.LATENTS_21
    if len(found[0]) != vae.channels:
        raise ValueError(
            f"vae: the latents' mean and deviation are known for {len(found[0])} "
            f"channels, got {vae.channels}: give the folder in diffusers' layout, "
            "whose vae/config.json holds them"
        )
    return found


def read_dit(data: Mapping[str, Any], text_width: int) -> DiTConfig:
    """The transformer, from its `config.json`."""
    told = json_fields.checked("transformer", data, json_fields.Original)
    if told.model_type not in ("t2v", "ti2v"):
        raise ValueError(
            f"transformer: model_type {files.quoted(told.model_type)} is not built "
            "here; t2v and ti2v are"
        )
    network_json.require_fixed("transformer", data, FIXED)
    return DiTConfig(
        channels=told.out_dim,
        extra_channels=told.in_dim - told.out_dim,
        width=told.dim,
        depth=told.num_layers,
        heads=told.num_heads,
        mlp=told.ffn_dim,
        time_features=told.freq_dim,
        contexts=(("text", text_width),),
    )


def vae_sizes(stored: Mapping[str, Stored]) -> VAEConfig:
    """The sizes of a VAE, off the shapes of its tensors."""
    width, pixels = sizes("vae", stored, "encoder.conv1.weight", 5)[:2]
    channels = sizes("vae", stored, "conv2.weight", 5)[0]
    last = sizes("vae", stored, "decoder.head.2.weight", 5)[1]
    kind = wan.VAE_22 if pixels > 3 else wan.VAE_21
    return dataclasses.replace(
        kind, channels=channels, encoder_width=width, decoder_width=last
    )


def text_sizes(stored: Mapping[str, Stored], pad_to: int) -> TextConfig:
    """The sizes of an umT5 encoder, off the shapes of its tensors."""
    layers = {m[1] for name in stored if (m := re.match(r"blocks\.(\d+)\.", name))}
    if len(layers) > limits.LAYERS:
        raise ValueError(
            f"text_encoder has {len(layers)} layers, more than {limits.LAYERS}: this "
            "is no umT5 encoder of Wan's"
        )
    part = functools.partial(sizes, "text_encoder", stored)
    vocabulary, width = part("token_embedding.weight", 2)
    buckets, heads = part("blocks.0.pos_embedding.embedding.weight", 2)
    inner, _ = part("blocks.0.attn.q.weight", 2)
    mlp, _ = part("blocks.0.ffn.fc1.weight", 2)
    return dataclasses.replace(
        wan.UMT5_XXL,
        vocabulary=vocabulary,
        width=width,
        depth=len(layers),
        heads=heads,
        head_dim=inner // heads,
        mlp=mlp,
        buckets=buckets,
        pad_to=pad_to,
    )


def sizes(
    network: str, stored: Mapping[str, Stored], name: str, axes: int
) -> tuple[int, ...]:
    """The shape of a tensor that tells the sizes of its network.

    Raises:
      ValueError: it is missing, or has another number of axes, or no sensible lengths.
    """
    if name not in stored:
        raise ValueError(f"{network}: {name!r} is missing: this is none of Wan's")
    shape = stored[name].shape
    if len(shape) != axes or not all(1 <= size <= limits.FEATURES for size in shape):
        raise ValueError(
            f"{network}: {name} must have {axes} axes of 1 to {limits.FEATURES}, got "
            f"{files.quoted(list(shape))}: this is none of Wan's"
        )
    return shape

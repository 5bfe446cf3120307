"""Wan's original layout, with pickles converted to safetensors.

One folder: the transformer's shards beside its `config.json` (or two such folders, for
high and for low noise), the VAE and the text encoder as a file each, and the tokenizer.
VAE and text encoder have no config; their sizes follow from the shapes of tensors.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from sora_jax import files, limits
from sora_jax.config import (
    DiTConfig,
    ModelConfig,
    PictureConfig,
    TextConfig,
    VAEConfig,
)
from sora_jax.families.family import Description, Layout, Shapes, TensorFiles
from sora_jax.families.wan import json_fields, models, network_json
from sora_jax.families.wan.layouts import (
    COPY,
    DIT_LOW,
    PICTURE_ENCODER,
    conditioning_of,
)
from sora_jax.families.wan.tokenizer_json import for_transformers
from sora_jax.workdir import read_json

HIGH, LOW = "high_noise_model", "low_noise_model"
TRANSFORMER = "diffusion_pytorch_model"
TEXT, VAE, CLIP = "models_t5_*", "*VAE*", "models_clip_*"
KINDS = ("t2v", "ti2v", "i2v", "flf2v", "vace")
# Required values of a transformer's config, if present.
FIXED = {"eps": 1e-6, "qk_norm": True, "cross_attn_norm": True}
HEAD = models.CLIP_H.width // models.CLIP_H.heads  # features of a head of CLIP
TOKENIZER = ("google", "umt5-xxl", "spiece.model")


def recognizes(where: epath.Path) -> bool:
    """Return whether a folder has this layout."""
    path = where / "config.json"
    if (where / HIGH / "config.json").exists():
        return True
    return path.exists() and read_json(path, COPY).get("_class_name") == "WanModel"


def locate(where: epath.Path) -> dict[str, TensorFiles]:
    """Locate the files of each network; a transformer's share a folder with others."""
    two = (where / HIGH).exists()
    first = where / HIGH if two else where
    found = {
        "vae": TensorFiles(folder=where, begins=VAE, single=True),
        "text_encoder": TensorFiles(folder=where, begins=TEXT, single=True),
        "dit": TensorFiles(folder=first, begins=TRANSFORMER),
    }
    if two:
        found[DIT_LOW] = TensorFiles(folder=where / LOW, begins=TRANSFORMER)
    elif told_of(first).model_type in ("i2v", "flf2v"):  # of Wan 2.1
        found[PICTURE_ENCODER] = TensorFiles(folder=where, begins=CLIP, single=True)
    return found


def told_of(folder: epath.Path) -> json_fields.Original:
    """Parse the config of a transformer."""
    data = read_json(folder / "config.json", COPY)
    return json_fields.parse_fields("transformer", data, json_fields.Original)


def describe(where: epath.Path, shapes: Mapping[str, Shapes]) -> Description:
    """Read the model of a folder, and its defaults.

    Raises:
      ValueError: a field is missing, or the model is not supported.
    """
    two = (where / HIGH).exists()
    first = where / HIGH if two else where
    data = read_json(first / "config.json", COPY)
    vae = vae_sizes(shapes["vae"])
    told = told_of(first)
    text = text_sizes(shapes["text_encoder"], told.text_len)
    picture = None
    if PICTURE_ENCODER in shapes:
        picture = picture_sizes(shapes[PICTURE_ENCODER])
    dit = dit_config(data, text.width, picture)
    causal = network_json.causal_config(told.causal)
    takes_tokens = told.model_type == "ti2v" or causal is not None
    conditioning = conditioning_of(dit, takes_tokens)
    closest = models.closest(dit, conditioning, 0.5 if two else None, causal)
    config = ModelConfig(
        name=closest.name if closest.dit == dit else where.name,
        vae=vae,
        dit=dit,
        text=text,
        sampling=closest.sampling,
        fps=None,
        conditioning=conditioning,
        keyframes=models.keyframes_of(dit),
        picture=picture,
        causal=causal,
        boundary=closest.boundary,
    )
    if two:
        low = read_json(where / LOW / "config.json", COPY)
        if dit_config(low, text.width, picture) != dit:
            raise ValueError(
                f"weights folder {str(where)!r}: {LOW} is of another kind or size than "
                f"{HIGH}: {COPY}"
            )
    return Description(
        config=config,
        tokenizer=where.joinpath(*TOKENIZER),
        constants={"vae": latent_statistics(vae)},
    )


def latent_statistics(vae: VAEConfig) -> dict[str, Sequence[float]]:
    """Look up mean and standard deviation of the latents, which the files lack.

    Raises:
      ValueError: the VAE is not one of the published ones.
    """
    mean, std = models.LATENTS_22 if vae.shortcuts else models.LATENTS_21
    if len(mean) != vae.channels:
        raise ValueError(
            f"vae: the latents' mean and deviation are known for {len(mean)} "
            f"channels, got {vae.channels}: give the folder in diffusers' layout, "
            "whose vae/config.json holds them"
        )
    return {"latent_mean": mean, "latent_std": std}


def dit_config(
    data: Mapping[str, Any], text_width: int, picture: PictureConfig | None
) -> DiTConfig:
    """Read the transformer's config from its `config.json`."""
    told = json_fields.parse_fields("transformer", data, json_fields.Original)
    if told.model_type not in KINDS:
        raise ValueError(
            f"transformer: model_type {files.quoted(told.model_type)} is not "
            f"supported; {', '.join(KINDS)} are"
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
        contexts=network_json.contexts_of(text_width, picture and picture.width),
        control_channels=told.vace_in_dim,
        control_layers=tuple(told.vace_layers),
        picture_positions=(
            2 * picture.states if picture and told.model_type == "flf2v" else 0
        ),
    )


def vae_sizes(shapes: Shapes) -> VAEConfig:
    """Infer the config of a VAE from the shapes of its tensors."""
    width, pixels = sizes("vae", shapes, "encoder.conv1.weight", 5)[:2]
    channels = sizes("vae", shapes, "conv2.weight", 5)[0]
    last = sizes("vae", shapes, "decoder.head.2.weight", 5)[1]
    kind = models.VAE_22 if pixels > 3 else models.VAE_21
    return dataclasses.replace(
        kind, channels=channels, encoder_width=width, decoder_width=last
    )


def text_sizes(shapes: Shapes, pad_to: int) -> TextConfig:
    """Infer the config of a umT5 encoder from the shapes of its tensors."""
    layers = {m[1] for name in shapes if (m := re.match(r"blocks\.(\d+)\.", name))}
    if len(layers) > limits.LAYERS:
        raise ValueError(
            f"text_encoder has {len(layers)} layers, more than {limits.LAYERS}: this "
            "is not Wan's umT5 encoder"
        )
    part = functools.partial(sizes, "text_encoder", shapes)
    vocabulary, width = part("token_embedding.weight", 2)
    buckets, heads = part("blocks.0.pos_embedding.embedding.weight", 2)
    inner, _ = part("blocks.0.attn.q.weight", 2)
    mlp, _ = part("blocks.0.ffn.fc1.weight", 2)
    return dataclasses.replace(
        models.UMT5_XXL,
        vocabulary=vocabulary,
        width=width,
        depth=len(layers),
        heads=heads,
        head_dim=inner // heads,
        mlp=mlp,
        buckets=buckets,
        pad_to=pad_to,
    )


def picture_sizes(shapes: Shapes) -> PictureConfig:
    """Infer the config of CLIP's vision tower from the shapes of its tensors."""
    part = functools.partial(sizes, PICTURE_ENCODER, shapes)
    width, _, patch, _ = part("visual.patch_embedding.weight", 4)
    _, states, _ = part("visual.pos_embedding", 3)
    mlp, _ = part("visual.transformer.0.mlp.0.weight", 2)
    layers = {m[1] for n in shapes if (m := re.match(r"visual\.transformer\.(\d+)", n))}
    return dataclasses.replace(
        models.CLIP_H,
        width=width,
        depth=len(layers),
        heads=max(1, width // HEAD),
        mlp=mlp,
        patch=patch,
        size=patch * math.isqrt(states - 1),
        fit="squash",
    )


def sizes(network: str, shapes: Shapes, name: str, axes: int) -> tuple[int, ...]:
    """Return the shape of a tensor, to infer sizes from.

    Raises:
      ValueError: it is missing, or its axes are out of bounds.
    """
    if name not in shapes:
        raise ValueError(f"{network}: {name!r} is missing: this is not one of Wan's")
    shape = shapes[name]
    if len(shape) != axes or not all(1 <= size <= limits.FEATURES for size in shape):
        raise ValueError(
            f"{network}: {name} must have {axes} axes of 1 to {limits.FEATURES}, got "
            f"{files.quoted(list(shape))}: this is not one of Wan's"
        )
    return shape


LAYOUT = Layout(
    name="original",
    recognizes=recognizes,
    locate=locate,
    describe=describe,
    tokenizer_model=for_transformers,
)

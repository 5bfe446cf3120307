"""Wan's original layout, with pickles converted to safetensors.

One folder: the transformer's shards beside its `config.json` (or two such folders, for
high and for low noise), the VAE and the text encoder as a file each, and the tokenizer.
VAE and text encoder have no config; their sizes follow from the shapes of tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from etils import epath

from sora_jax import files
from sora_jax.config import (
    CausalConfig,
    DiTConfig,
    ModelConfig,
    PictureConfig,
    TextConfig,
    VAEConfig,
)
from sora_jax.families.family import Description, Layout, Shapes, TensorFiles
from sora_jax.families.wan import json_fields, models, network_json, sizes
from sora_jax.families.wan.layouts import (
    COPY,
    DIT_LOW,
    PICTURE_ENCODER,
    conditioning_of,
)
from sora_jax.families.wan.tokenizer_json import for_transformers
from sora_jax.workdir import read_json

NAME = "original"
HIGH, LOW = "high_noise_model", "low_noise_model"
TRANSFORMER = "diffusion_pytorch_model"
TEXT, VAE, CLIP = "models_t5_*", "*VAE*", "models_clip_*"
KINDS = ("t2v", "ti2v", "i2v", "flf2v", "vace")
# Required values of a transformer's config, if present.
FIXED = {"eps": 1e-6, "qk_norm": True, "cross_attn_norm": True}
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
    vae = sizes.vae_config(shapes["vae"], NAME)
    told = told_of(first)
    text = sizes.text_config(shapes["text_encoder"], NAME, told.text_len)
    picture = None
    if PICTURE_ENCODER in shapes:
        picture = sizes.picture_config(shapes[PICTURE_ENCODER], NAME)
    dit = dit_config(data, text.width, picture)
    config = model_config(
        where.name,
        vae,
        dit,
        text,
        picture,
        causal=network_json.causal_config(told.causal),
        has_low=two,
        is_image_too=told.model_type == "ti2v",
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
        constants={"vae": sizes.latent_statistics(vae)},
    )


def model_config(
    name: str,
    vae: VAEConfig,
    dit: DiTConfig,
    text: TextConfig,
    picture: PictureConfig | None,
    *,
    causal: CausalConfig | None = None,
    has_low: bool,
    is_image_too: bool,
) -> ModelConfig:
    """Build the model's config, with the publisher's defaults.

    Args:
      name: of a model that is none of the published ones.
      vae: its VAE.
      dit: its transformer.
      text: its text encoder.
      picture: its picture encoder, if any.
      causal: its blocks, if it makes a video block by block.
      has_low: whether there is a second transformer.
      is_image_too: whether it takes a picture as clean tokens.
    """
    conditioning = conditioning_of(dit, is_image_too or causal is not None)
    closest = models.closest(dit, conditioning, 0.5 if has_low else None, causal)
    return ModelConfig(
        name=closest.name if closest.dit == dit else name,
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


LAYOUT = Layout(
    name=NAME,
    recognizes=recognizes,
    locate=locate,
    describe=describe,
    tokenizer_model=for_transformers,
)

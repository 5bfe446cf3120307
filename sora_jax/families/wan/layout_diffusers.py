"""Wan's models in diffusers' layout: model_index.json and a folder for each network."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from etils import epath

from sora_jax import files
from sora_jax.config import (
    CausalConfig,
    DiTConfig,
    ModelConfig,
    PictureConfig,
    SamplingConfig,
    TextConfig,
    VAEConfig,
    from_json,
    with_new_names,
)
from sora_jax.families.family import Description, Layout, Shapes, TensorFiles
from sora_jax.families.wan import (
    export_diffusers,
    json_fields,
    models,
    network_json,
    picture_json,
)
from sora_jax.families.wan.layouts import (
    COPY,
    DIT_LOW,
    PICTURE_ENCODER,
    conditioning_of,
)
from sora_jax.families.wan.scheduler import scheduling
from sora_jax.families.wan.tokenizer_json import for_transformers
from sora_jax.workdir import read_json

PIPELINES = ("WanPipeline", "WanImageToVideoPipeline", "WanVACEPipeline")


def recognizes(where: epath.Path) -> bool:
    """Return whether a folder has this layout."""
    return (where / export_diffusers.INDEX).exists()


def read_index(where: epath.Path) -> dict[str, Any]:
    """Read the pipeline's index.

    Raises:
      ValueError: the pipeline is not supported.
    """
    index = read_json(where / export_diffusers.INDEX, COPY)
    if index.get("_class_name") not in PIPELINES:
        raise ValueError(
            f"weights folder {str(where)!r} is of a "
            f"{files.quoted(index.get('_class_name'))}; supported are "
            f"{', '.join(PIPELINES)}"
        )
    return index


def pipeline(index: Mapping[str, Any]) -> json_fields.Pipeline:
    """Parse the relevant fields of the index."""
    return json_fields.parse_fields(export_diffusers.INDEX, index, json_fields.Pipeline)


def locate(where: epath.Path) -> dict[str, TensorFiles]:
    """Locate the files of each network."""
    index = read_index(where)
    absent = set()
    if pipeline(index).boundary_ratio is None:
        absent.add(DIT_LOW)
    if not has_picture_encoder(index):
        absent.add(PICTURE_ENCODER)
    return {
        name: TensorFiles(folder=where / folder)
        for name, (folder, _) in export_diffusers.NETWORKS.items()
        if name not in absent
    }


def has_picture_encoder(index: Mapping[str, Any]) -> bool:
    """Return whether a pipeline has a vision tower: null, or [null, null], is none."""
    return any(index.get("image_encoder") or ())


def describe(where: epath.Path, shapes: Mapping[str, Shapes]) -> Description:
    """Read the model of a folder, and its defaults.

    Raises:
      ValueError: a field is missing, or the model is not supported.
    """
    del shapes  # the configs suffice
    index = read_index(where)
    vae_json = read_config(where, "vae")
    vae = network_json.vae_config(vae_json)
    dit_json = read_config(where, "transformer")
    dit = network_json.dit_config(dit_json, vae.channels)
    causal = network_json.causal_config(
        json_fields.parse_fields(
            "transformer", dit_json, json_fields.Transformer
        ).causal
    )
    picture = None
    if has_picture_encoder(index):
        picture = picture_json.picture_config(read_config(where, "image_encoder"))
    config = model_config(where, index, vae, dit, picture, causal)
    if config.boundary is not None:
        second = read_config(where, "transformer_2")
        if network_json.dit_config(second, vae.channels) != dit:
            raise ValueError(
                f"weights folder {str(where)!r}: transformer_2 is of another kind or "
                f"size than transformer: {COPY}"
            )
    return Description(
        config=config,
        tokenizer=where / "tokenizer" / "spiece.model",
        constants={"vae": network_json.latent_statistics(vae_json)},
    )


def model_config(
    where: epath.Path,
    index: Mapping[str, Any],
    vae: VAEConfig,
    dit: DiTConfig,
    picture: PictureConfig | None,
    causal: CausalConfig | None,
) -> ModelConfig:
    """Build the model's config, with the folder's or the publisher's defaults."""
    told = pipeline(index)
    boundary = told.boundary_ratio
    takes_tokens = bool(told.expand_timesteps) or causal is not None
    conditioning = conditioning_of(dit, takes_tokens)
    closest = models.closest(dit, conditioning, boundary, causal)
    name = closest.name if closest.dit == dit else where.name
    sampling, fps, mid_clip = closest.sampling, closest.fps, False
    keyframes = models.keyframes_of(dit)
    if (where / export_diffusers.EXTRAS).exists():
        extras = read_extras(where)
        sampling = from_json(SamplingConfig, extras.sampling, whole=True)
        name, fps, mid_clip = extras.name, extras.fps, extras.mid_clip
        keyframes = extras.keyframes
    # A changed scheduler in an exported folder takes precedence. Beside a causal
    # transformer it is still that of the bidirectional one.
    if causal is None:
        sampling = dataclasses.replace(sampling, **scheduling(where, index))
    return ModelConfig(
        name=name,
        vae=vae,
        dit=dit,
        text=read_text_config(where),
        sampling=sampling,
        fps=fps,
        conditioning=conditioning,
        keyframes=keyframes,
        picture=picture,
        mid_clip=mid_clip,
        causal=causal,
        boundary=boundary,
    )


def read_extras(where: epath.Path) -> json_fields.Extras:
    """Read the fields of `sora_jax.json`, which exports add."""
    name = export_diffusers.EXTRAS
    told = with_new_names(name, read_json(where / name, COPY))
    return json_fields.parse_fields(name, told, json_fields.Extras)


def read_config(where: epath.Path, name: str) -> dict[str, Any]:
    """Read the JSON config of a network."""
    return read_json(where / name / "config.json", COPY)


def read_text_config(where: epath.Path) -> TextConfig:
    """Read the text encoder's config; its tokenizer may set the padded length."""
    longest = None
    path = where / "tokenizer" / "tokenizer_config.json"
    if path.exists():
        data = read_json(path, COPY)
        told = json_fields.parse_fields("tokenizer", data, json_fields.Tokenizing)
        longest = told.model_max_length
    pad_to = int(min(longest or models.UMT5_XXL.pad_to, models.UMT5_XXL.pad_to))
    return network_json.text_config(read_config(where, "text_encoder"), pad_to)


LAYOUT = Layout(
    name="diffusers",
    index=export_diffusers.INDEX,
    recognizes=recognizes,
    locate=locate,
    describe=describe,
    tokenizer_model=for_transformers,
    exporter=export_diffusers.EXPORTER,
)

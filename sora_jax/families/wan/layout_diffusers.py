"""Wan's models in diffusers' layout: model_index.json and a folder for each network."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from etils import epath

from sora_jax import files
from sora_jax.config import (
    DiTConfig,
    ModelConfig,
    SamplingConfig,
    TextConfig,
    VAEConfig,
    from_json,
    wan,
    with_new_names,
)
from sora_jax.families.wan import json_fields, network_json
from sora_jax.families.wan.scheduler import scheduling
from sora_jax.weights import shards
from sora_jax.weights.network import COPY, Folder, Network, conditioning_of
from sora_jax.weights.parts import DIT_LOW
from sora_jax.weights.shards import Stored
from sora_jax.workdir import read_json

INDEX = "model_index.json"
# What diffusers has no place for, in folders that we export.
OURS = "sora_jax.json"
PIPELINES = ("WanPipeline", "WanImageToVideoPipeline")
# The embedding of a text encoder that has no decoder to share it with.
SHARED, TIED = "shared.weight", "encoder.embed_tokens.weight"


def read(where: epath.Path) -> Folder:
    """Find the networks of a folder and what is done by default.

    Raises:
      ValueError: something is missing, or is of a kind that is not built here.
    """
    index = read_json(where / INDEX, COPY)
    if index.get("_class_name") not in PIPELINES:
        raise ValueError(
            f"weights folder {str(where)!r} is of a "
            f"{files.quoted(index.get('_class_name'))}; known are "
            f"{', '.join(PIPELINES)}"
        )
    vae_json = read_config(where, "vae")
    vae = network_json.read_vae(vae_json)
    dit = network_json.read_dit(read_config(where, "transformer"), vae.channels)
    config = describe(where, index, vae, dit)
    networks = {
        "text_encoder": network(where, "text_encoder", config.text),
        "dit": network(where, "transformer", dit),
        "vae": dataclasses.replace(
            network(where, "vae", vae),
            statistics=(vae_json["latents_mean"], vae_json["latents_std"]),
        ),
    }
    if config.boundary is not None:
        second = read_config(where, "transformer_2")
        if network_json.read_dit(second, vae.channels) != dit:
            raise ValueError(
                f"weights folder {str(where)!r}: transformer_2 is of another kind or "
                "size than transformer: copy or download the folder again"
            )
        networks[DIT_LOW] = network(where, "transformer_2", dit)
    return Folder(
        config=config, networks=networks, tokenizer=where / "tokenizer" / "spiece.model"
    )


def describe(
    where: epath.Path, index: Mapping[str, Any], vae: VAEConfig, dit: DiTConfig
) -> ModelConfig:
    """The model, with the publishers' defaults for its kind or the folder's own."""
    told = json_fields.checked(INDEX, index, json_fields.Pipeline)
    boundary = told.boundary_ratio
    conditioning = conditioning_of(dit.extra_channels, bool(told.expand_timesteps))
    published = wan.closest(dit, conditioning, boundary)
    name = published.name if published.dit == dit else where.name
    sampling, fps, mid_clip = published.sampling, published.fps, False
    if (where / OURS).exists():
        told = with_new_names(OURS, read_json(where / OURS, COPY))
        ours = json_fields.checked(OURS, told, json_fields.Ours)
        sampling = from_json(SamplingConfig, ours.sampling, whole=True)
        name, fps, mid_clip = ours.name, ours.fps, ours.mid_clip
    # Who changes the scheduler of an export means it.
    sampling = dataclasses.replace(sampling, **scheduling(where, index))
    return ModelConfig(
        name=name,
        vae=vae,
        dit=dit,
        text=read_text(where),
        sampling=sampling,
        fps=fps,
        conditioning=conditioning,
        mid_clip=mid_clip,
        boundary=boundary,
    )


def network(where: epath.Path, name: str, config: Any) -> Network:
    """A network in a folder of its own."""
    stored = shards.read_headers(shards.find(where / name))
    if isinstance(config, TextConfig):
        stored = tie_embedding(stored, str(where / name))
    return Network(
        where=str(where / name), config=config, layout="diffusers", stored=stored
    )


def tie_embedding(stored: dict[str, Stored], where: str) -> dict[str, Stored]:
    """Keep one embedding: T5's decoder would share it, so that it has two names.

    Raises:
      ValueError: there are two, of different shapes.
    """
    if TIED not in stored:
        return stored
    stored = dict(stored)
    tied = stored.pop(TIED)
    shared = stored.setdefault(SHARED, tied)
    if shared.shape != tied.shape:
        raise ValueError(
            f"weights {where!r}: {SHARED} {list(shared.shape)} and {TIED} "
            f"{list(tied.shape)} must be the same: {COPY}"
        )
    return stored


def read_config(where: epath.Path, name: str) -> dict[str, Any]:
    """The config of a network."""
    return read_json(where / name / "config.json", COPY)


def read_text(where: epath.Path) -> TextConfig:
    """The text encoder; its tokenizer may know how long a text becomes."""
    longest = None
    path = where / "tokenizer" / "tokenizer_config.json"
    if path.exists():
        told = json_fields.checked(
            "tokenizer", read_json(path, COPY), json_fields.Tokenizing
        )
        longest = told.model_max_length
    pad_to = int(min(longest or wan.UMT5_XXL.pad_to, wan.UMT5_XXL.pad_to))
    return network_json.read_text(read_config(where, "text_encoder"), pad_to)

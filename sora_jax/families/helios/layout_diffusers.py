"""Helios in diffusers' layout, the only one in which it is published."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from etils import epath

from sora_jax.config import ModelConfig
from sora_jax.families.family import Description, Layout, Shapes, TensorFiles
from sora_jax.families.helios import models, scheduler, transformer_json
from sora_jax.families.wan import layout_diffusers as wan
from sora_jax.families.wan import network_json
from sora_jax.families.wan.export_diffusers import INDEX
from sora_jax.families.wan.layouts import COPY
from sora_jax.families.wan.tokenizer_json import for_transformers
from sora_jax.workdir import read_json

PIPELINES = ("HeliosPipeline", "HeliosPyramidPipeline")
FOLDERS = {"text_encoder": "text_encoder", "dit": "transformer", "vae": "vae"}


def recognizes(where: epath.Path) -> bool:
    """Return whether a folder has this layout, and holds a pipeline of Helios."""
    index = where / INDEX
    return index.exists() and read_json(index, COPY).get("_class_name") in PIPELINES


def locate(where: epath.Path) -> dict[str, TensorFiles]:
    """Locate the files of each network."""
    return {
        name: TensorFiles(folder=where / folder) for name, folder in FOLDERS.items()
    }


def describe(where: epath.Path, shapes: Mapping[str, Shapes]) -> Description:
    """Read the model of a folder, and its defaults.

    Raises:
      ValueError: a field is missing, or the model is not supported.
    """
    del shapes  # the configs suffice
    vae_json = wan.read_config(where, "vae")
    vae = network_json.vae_config(vae_json)
    told = wan.read_config(where, "transformer")
    dit = transformer_json.dit_config(told, vae.channels)
    published = published_model(read_json(where / INDEX, COPY))
    assert published.chunks is not None
    found = scheduler.scheduling(where, is_staged=published.chunks.stages > 1)
    solver, fields = found or (published.sampling.solver, {})
    config = dataclasses.replace(
        published,
        name=published.name if dit == published.dit else where.name,
        vae=vae,
        dit=dit,
        text=wan.read_text_config(where),
        sampling=dataclasses.replace(published.sampling, solver=solver),
        chunks=dataclasses.replace(published.chunks, **fields),
    )
    return Description(
        config=config,
        tokenizer=where / "tokenizer" / "spiece.model",
        constants={"vae": network_json.latent_statistics(vae_json)},
    )


def published_model(index: Mapping[str, Any]) -> ModelConfig:
    """Return the published model that a pipeline's index names."""
    if index.get("is_distilled"):
        return models.DISTILLED
    if index.get("_class_name") == "HeliosPyramidPipeline":
        chunks = models.MID.chunks
        assert chunks is not None
        is_star = bool(index.get("is_cfg_zero_star"))
        chunks = dataclasses.replace(chunks, zero_star=is_star)
        return dataclasses.replace(models.MID, chunks=chunks)
    return models.BASE


LAYOUT = Layout(
    name="diffusers",
    index=INDEX,
    recognizes=recognizes,
    locate=locate,
    describe=describe,
    tokenizer_model=for_transformers,
)

"""Wan's models in diffusers' layout: model_index.json and a folder for each network."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

from etils import epath

from sora_jax.config import (
    DiTConfig,
    ModelConfig,
    SamplingConfig,
    TextConfig,
    VAEConfig,
    from_json,
    wan,
)
from sora_jax.weights import shards, wan_json
from sora_jax.weights.foreign import COPY, Folder, Network, how_known
from sora_jax.weights.parts import DIT_LOW
from sora_jax.workdir import read_json

_logger = logging.getLogger(__name__)

INDEX = "model_index.json"
# What diffusers has no place for, in folders that we export.
OURS = "sora_jax.json"
PIPELINES = ("WanPipeline", "WanImageToVideoPipeline")
# diffusers' names of solvers, and ours.
SOLVERS = {
    "UniPCMultistepScheduler": "unipc",
    "FlowMatchEulerDiscreteScheduler": "euler",
}


def read(where: epath.Path) -> Folder:
    """Find the networks of a folder and what is done by default.

    Raises:
      ValueError: something is missing, or is of a kind that is not built here.
    """
    index = read_json(where / INDEX, COPY)
    if index.get("_class_name") not in PIPELINES:
        raise ValueError(
            f"weights folder {str(where)!r} is of a {index.get('_class_name')}; known "
            f"are {', '.join(PIPELINES)}"
        )
    vae_json = read_config(where, "vae")
    vae = wan_json.read_vae(vae_json)
    dit = wan_json.read_dit(read_config(where, "transformer"), vae.channels)
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
        if wan_json.read_dit(second, vae.channels) != dit:
            raise ValueError(
                f"weights folder {str(where)!r}: transformer_2 is of another kind or "
                "size than transformer: copy or download the folder again"
            )
        networks[DIT_LOW] = network(where, "transformer_2", dit)
    wrong = [
        f"vae: {name} must be {vae.channels} numbers, got {len(vae_json[name])}"
        for name in ("latents_mean", "latents_std")
        if len(vae_json[name]) != vae.channels
    ]
    if wrong:
        raise ValueError("\n".join(wrong))
    return Folder(
        config=config, networks=networks, tokenizer=where / "tokenizer" / "spiece.model"
    )


def describe(
    where: epath.Path, index: Mapping[str, Any], vae: VAEConfig, dit: DiTConfig
) -> ModelConfig:
    """The model, with the publishers' defaults for its kind or the folder's own."""
    boundary = index.get("boundary_ratio")
    known = how_known(dit.extra_channels, index.get("expand_timesteps", False))
    published = wan.closest(dit, known, boundary)
    name = published.name if published.dit == dit else where.name
    sampling, fps, headless = published.sampling, published.fps, False
    sampling = dataclasses.replace(sampling, **scheduling(where))
    if (where / OURS).exists():
        ours = read_json(where / OURS, COPY)
        sampling = from_json(SamplingConfig, ours["sampling"], whole=True)
        name, fps, headless = ours["name"], ours["fps"], ours["headless"]
    return ModelConfig(
        name=name,
        vae=vae,
        dit=dit,
        text=read_text(where),
        sampling=sampling,
        fps=fps,
        known=known,
        headless=headless,
        boundary=boundary,
    )


def network(where: epath.Path, name: str, config: Any) -> Network:
    """A network in a folder of its own."""
    stored = shards.read_headers(shards.find(where / name))
    if isinstance(config, TextConfig):
        # Kept twice where the decoder that T5 also has would share it.
        stored.pop("encoder.embed_tokens.weight", None)
    return Network(
        where=str(where / name), config=config, layout="diffusers", stored=stored
    )


def read_config(where: epath.Path, name: str) -> dict[str, Any]:
    """The config of a network."""
    return read_json(where / name / "config.json", COPY)


def read_text(where: epath.Path) -> TextConfig:
    """The text encoder; its tokenizer may know how long a text becomes."""
    longest = None
    path = where / "tokenizer" / "tokenizer_config.json"
    if path.exists():
        longest = read_json(path, COPY).get("model_max_length")
    pad_to = min(longest or wan.UMT5_XXL.pad_to, wan.UMT5_XXL.pad_to)
    return wan_json.read_text(read_config(where, "text_encoder"), pad_to)


def scheduling(where: epath.Path) -> dict[str, Any]:
    """Solver and shift, where the folder names them."""
    path = where / "scheduler" / "scheduler_config.json"
    if not path.exists():
        return {}
    scheduler = read_json(path, COPY)
    shift = scheduler.get("flow_shift") or scheduler.get("shift")
    named = scheduler.get("_class_name")
    if named and named not in SOLVERS:
        _logger.warning(
            "%s asks for %s, which is not built here: the model's usual solver is used",
            path,
            named,
        )
    found = {"solver": SOLVERS.get(named), "shift": shift}
    return {name: value for name, value in found.items() if value is not None}

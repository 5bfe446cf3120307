"""Videos of a model that is still being trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath

from sora_jax.config import DiTRun, ModelConfig, PlaygroundConfig, SamplingConfig
from sora_jax.data.records import Records
from sora_jax.data.video import to_uint8
from sora_jax.families import OURS
from sora_jax.files import PathLike
from sora_jax.sampling.model import Model
from sora_jax.sharding import SINGLE_DEVICE, MeshPlan
from sora_jax.types import TEXT
from sora_jax.weights import folders
from sora_jax.weights.model_weights import weights_in_memory
from sora_jax.weights.workdirs import encode_run_of, load_vae, tokenizer_of

PROMPTS = (
    "a big red ball bounces on a green floor",
    "a small blue square moves right in front of grey stripes",
    "a yellow star moves left over a brown floor",
    "a pink triangle spins on a checkered background",
)
LOOKED_AT = 16  # clips of a split in which captions are looked for


def sample_media(
    config: DiTRun,
    networks: Mapping[str, Any],
    mesh_plan: MeshPlan = SINGLE_DEVICE,
) -> dict[str, np.ndarray]:
    """Sample one video for each of a few prompts, side by side."""
    vae, fps = load_vae(config.latents), encode_run_of(config.latents).data.fps
    networks = {**networks, OURS.autoencoder: vae}
    if config.text_states:
        encoder = OURS.contexts[TEXT]
        networks[encoder] = folders.load_network(config.text_from, encoder)
    sizes = {spec.config: networks[name].config for name, spec in OURS.networks.items()}
    described = ModelConfig(
        name="the model in training",
        **sizes,
        sampling=SamplingConfig(fps=fps),
        fps=fps,
        conditioning=config.conditioning,
        mid_clip=config.packing.mid_clip > 0,
    )
    weights = weights_in_memory(described, tokenizer_of(config), **networks)
    weights = dataclasses.replace(weights, mesh_plan=mesh_plan)
    # The nearest size that is a multiple of the patch.
    units = [vae.config.space_factor * patch for patch in config.dit.patch[1:]]
    pairs = zip(units, config.prompt_size, strict=True)
    size = tuple(max(unit, side // unit * unit) for unit, side in pairs)
    prompts = config.prompts or default_prompts(config.latents)
    videos = Model(weights).generate(prompts, steps=12, size=size)
    return {"samples": np.concatenate(list(to_uint8(videos)), axis=2)}


def default_prompts(latents: PathLike) -> tuple[str, ...]:
    """Return the prompts of videos for a folder of encoded clips.

    Of stored clips they are captions of held-out ones, or else of training clips.
    """
    if isinstance(encode_run_of(latents).data, PlaygroundConfig):
        return PROMPTS
    found: dict[str, None] = {}  # each once, in order
    for split in ("held_out", "train"):
        records = Records(epath.Path(latents) / split)
        for number in range(min(LOOKED_AT, len(records))):
            found |= dict.fromkeys(filter(None, records[number].captions[:1]))
            if len(found) == len(PROMPTS):
                return tuple(found)
    return tuple(found) or ("",)

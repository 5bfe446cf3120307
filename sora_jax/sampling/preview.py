"""Videos of a model that is still being trained."""

from __future__ import annotations

import dataclasses
from typing import Protocol, runtime_checkable

import numpy as np

from sora_jax.config import DiTRun, ModelConfig, SamplingConfig
from sora_jax.data.video import to_uint8
from sora_jax.models.dit import DiT
from sora_jax.models.text_encoder import TextEncoder
from sora_jax.sampling.model import Model
from sora_jax.sharding import MeshPlan
from sora_jax.weights.parts import in_memory
from sora_jax.weights.workdirs import clips_of, load_vae, tokenizer_of

PROMPTS = (
    "a big red ball bounces on a green floor",
    "a small blue square moves right in front of grey stripes",
    "a yellow star moves left over a brown floor",
    "a pink triangle spins on a checkered background",
)


@runtime_checkable
class Networks(Protocol):
    """What training hands over."""

    @property
    def dit(self) -> DiT:
        """The transformer."""
        ...

    @property
    def text_encoder(self) -> TextEncoder:
        """What reads for it."""
        ...

    @property
    def mesh_plan(self) -> MeshPlan:
        """Where both lie."""
        ...


def sample_media(config: DiTRun, trained: Networks) -> dict[str, np.ndarray]:
    """Make one video for each of a few prompts, side by side."""
    vae, fps = load_vae(config.latents), clips_of(config.latents).data.fps
    described = ModelConfig(
        name="the model in training",
        vae=vae.config,
        dit=trained.dit.config,
        text=trained.text_encoder.config,
        sampling=SamplingConfig(fps=fps),
        fps=fps,
        conditioning=config.conditioning,
        mid_clip=config.packing.mid_clip > 0,
    )
    weights = in_memory(
        described,
        tokenizer_of(config),
        vae=vae,
        dit=trained.dit,
        text_encoder=trained.text_encoder,
    )
    weights = dataclasses.replace(weights, mesh_plan=trained.mesh_plan)
    # The nearest to 64 x 64 that the patches divide.
    units = [vae.config.space_factor * patch for patch in config.dit.patch[1:]]
    size = tuple(max(unit, 64 // unit * unit) for unit in units)
    videos = Model(weights).generate(PROMPTS, steps=12, size=size)
    return {"samples": np.concatenate(list(to_uint8(videos)), axis=2)}

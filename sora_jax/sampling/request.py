"""What a person asks for, checked before any heavy work."""

from __future__ import annotations

import dataclasses

import numpy as np

from sora_jax.config import ModelConfig, SamplingConfig
from sora_jax.diffusion import conditioning
from sora_jax.types import Condition

SEEDS = 2**32  # JAX keeps no more of a seed


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """A request for videos of one shape.

    Attributes:
      prompts: one for each video.
      settings: shape, solver and guidance.
      condition: known pixels, the same for every video.
      noise: latents `[b t h w z]` to begin from; without them the seed draws some.
      seed: of the noise; the same seed gives the same videos.
    """

    prompts: tuple[str, ...]
    settings: SamplingConfig
    condition: Condition | None = None
    noise: np.ndarray | None = None
    seed: int = 0

    def latent_shape(self, model: ModelConfig) -> tuple[int, int, int, int]:
        """The shape (t, h, w, z) of a video's latents."""
        height, width = self.settings.size
        vae = model.vae
        frames = 1 + (self.settings.frames - 1) // vae.time_factor
        cells = height // vae.space_factor, width // vae.space_factor
        return (frames, *cells, vae.channels)

    def grid(self, model: ModelConfig) -> tuple[int, int, int]:
        """Patches along (t, h, w)."""
        t, h, w, _ = self.latent_shape(model)
        return t, h // model.dit.patch[1], w // model.dit.patch[2]


def check(request: Request, model: ModelConfig) -> None:
    """Refuse what the model cannot make, all problems at once.

    Raises:
      ValueError: names each field, its value and the remedy.
    """
    settings, problems = request.settings, []
    if not request.prompts:
        problems.append("prompt is missing: say what the video shows")
    if any(not prompt.strip() for prompt in request.prompts):
        problems.append("prompt is empty: say what the video shows")
    if not 0 <= request.seed < SEEDS:
        problems.append(f"seed must be from 0 to {SEEDS - 1}, got {request.seed}")
    time = model.vae.time_factor
    if (settings.frames - 1) % time:
        near = max(1, 1 + round((settings.frames - 1) / time) * time)
        problems.append(
            f"frames must be 1 + {time}k, got {settings.frames}: try {near}"
        )
    for name, size, patch in zip(
        ("height", "width"), settings.size, model.dit.patch[1:], strict=True
    ):
        unit = model.vae.space_factor * patch
        if size % unit:
            near = max(unit, round(size / unit) * unit)
            problems.append(
                f"size: {name} must be a multiple of {unit}, got {size}: try {near}"
            )
    tile, cell = settings.tile or 0, model.vae.space_factor
    if tile % cell:
        near = max(cell, round(tile / cell) * cell)
        problems.append(f"tile must be a multiple of {cell}, got {tile}: try {near}")
    if not problems:
        problems += _check_noise(request, model)
        problems += _check_condition(request, model)
    if problems:
        raise ValueError("\n".join(problems))


def _check_noise(request: Request, model: ModelConfig) -> list[str]:
    wanted = (len(request.prompts), *request.latent_shape(model))
    if request.noise is None or request.noise.shape == wanted:
        return []
    return [
        f"noise must be latents of shape {wanted[1:]} (frames, height, width, "
        f"channels), or with the number of videos ({wanted[0]}) before, for this size "
        f"and number of frames; got {request.noise.shape}: change the file, --frames "
        "or --size"
    ]


def _check_condition(request: Request, model: ModelConfig) -> list[str]:
    condition, settings = request.condition, request.settings
    if condition is None:
        return []
    problems = []
    if model.known == "nothing":
        problems.append(
            f"condition: the model {model.name} makes videos from text alone; leave it "
            "out, or take weights that know of pictures"
        )
    shape = (settings.frames, *settings.size)
    found = {"mask": condition.mask.shape, "pixels": condition.pixels.shape[:3]}
    problems += [
        f"condition.{name} must be of shape {shape} (frames, height, width), got {got}"
        for name, got in found.items()
        if tuple(got) != shape
    ]
    if model.known == "tokens" and not problems:
        known = conditioning.beginning(np.asarray(condition.mask))
        if known is None or known % model.vae.time_factor != 1:
            problems.append(
                f"condition.mask: the model {model.name} takes whole frames at the "
                f"beginning alone, 1 + {model.vae.time_factor}k of them: leave out "
                "what else is known, or take other weights"
            )
    return problems

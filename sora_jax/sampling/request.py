"""What a person asks for, checked before any heavy work."""

from __future__ import annotations

import dataclasses

from sora_jax.config import DiTConfig, SamplingConfig, VAEConfig
from sora_jax.types import Condition

SEEDS = 2**32  # JAX keeps no more of a seed


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """A checked request for videos of one shape.

    Attributes:
      prompts: one for each video.
      settings: shape, solver and guidance.
      seed: of the noise; the same seed gives the same videos.
    """

    prompts: tuple[str, ...]
    settings: SamplingConfig
    seed: int = 0


def check(
    request: Request,
    vae: VAEConfig,
    dit: DiTConfig,
    condition: Condition | None = None,
) -> None:
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
    time = vae.time_factor
    if (settings.frames - 1) % time:
        near = max(1, 1 + round((settings.frames - 1) / time) * time)
        problems.append(
            f"frames must be 1 + {time}k, got {settings.frames}: try {near}"
        )
    for name, size, patch in zip(
        ("height", "width"), settings.size, dit.patch[1:], strict=True
    ):
        unit = vae.space_factor * patch
        if size % unit:
            near = max(unit, round(size / unit) * unit)
            problems.append(
                f"size: {name} must be a multiple of {unit}, got {size}: try {near}"
            )
    if condition is not None:
        problems += _check_condition(condition, settings, dit)
    if problems:
        raise ValueError("\n".join(problems))


def _check_condition(
    condition: Condition, settings: SamplingConfig, dit: DiTConfig
) -> list[str]:
    problems = []
    if dit.extra_channels == 0:
        problems.append(
            "condition: this model has no channels for known pixels (it makes videos "
            "from text alone); leave it out"
        )
    shape = (settings.frames, *settings.size)
    found = {"mask": condition.mask.shape, "pixels": condition.pixels.shape[:3]}
    problems += [
        f"condition.{name} must be of shape {shape} (frames, height, width), got {got}"
        for name, got in found.items()
        if tuple(got) != shape
    ]
    return problems

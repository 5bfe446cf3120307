"""What a person asks for, checked before any heavy work."""

from __future__ import annotations

import dataclasses

from sora_jax.config import DiTConfig, SamplingConfig, VAEConfig


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


def check(request: Request, vae: VAEConfig, dit: DiTConfig) -> None:
    """Refuse what the model cannot make, all problems at once.

    Raises:
      ValueError: names each flag, its value and the remedy.
    """
    settings, problems = request.settings, []
    if not request.prompts:
        problems.append("--prompt is missing: say what the video shows")
    if any(not prompt.strip() for prompt in request.prompts):
        problems.append("--prompt is empty: say what the video shows")
    time = vae.time_factor * dit.patch[0]
    if settings.frames < 1 or (settings.frames - 1) % time:
        near = max(1, 1 + round((settings.frames - 1) / time) * time)
        problems.append(
            f"--frames must be 1 + {time}k, got {settings.frames}: try {near}"
        )
    for name, size, patch in zip(
        ("height", "width"), settings.size, dit.patch[1:], strict=True
    ):
        unit = vae.space_factor * patch
        if size < unit or size % unit:
            near = max(unit, round(size / unit) * unit)
            problems.append(
                f"--size: {name} must be a multiple of {unit}, got {size}: try {near}"
            )
    if settings.fps <= 0:
        problems.append(f"--fps must be > 0, got {settings.fps}")
    if problems:
        raise ValueError("\n".join(problems))

"""What a model that makes videos chunk by chunk does not do."""

from __future__ import annotations

from sora_jax.config import ModelConfig
from sora_jax.sampling.request import Request


def chunk_problems(request: Request, model: ModelConfig) -> list[str]:
    """Return what of a request such a model does not do, and the remedies."""
    if model.chunks is None:
        return []
    settings, makes = request.settings, f"the model {model.name} makes chunks of"
    frames, problems = request.window(model), []
    if settings.window not in (None, frames):
        problems.append(
            f"window: {makes} {frames} frames, got {settings.window}: leave it out"
        )
    if request.source is not None:
        problems.append(
            f"source: the model {model.name} does not start from a clip part-way: "
            "extend the clip, or use weights that edit, such as the default ones"
        )
    if settings.sigmas or settings.solver == "heun":
        problems.append(
            f"{'sigmas' if settings.sigmas else 'solver heun'}: the model "
            f"{model.name} has noise levels of its own: leave it out, or use solver "
            "euler, unipc or renoise, as its weights say"
        )
    if settings.cache != "none":
        problems.append(
            f"cache: {settings.cache} is not supported by the model {model.name}, "
            "whose steps belong to chunks: leave it out"
        )
    unit = 2 ** (model.chunks.stages - 1) * model.vae.space_factor
    for name, side, patch in zip(
        ("height", "width"), settings.size, model.dit.patch[1:], strict=True
    ):
        if side % (unit * patch):
            near = max(unit * patch, round(side / (unit * patch)) * unit * patch)
            problems.append(
                f"size: {name} must be a multiple of {unit * patch} for the "
                f"{model.chunks.stages} stages of the model {model.name}, got {side}: "
                f"try {near}"
            )
    return problems

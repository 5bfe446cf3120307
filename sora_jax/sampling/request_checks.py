"""Check that a model supports a request, before any work."""

from __future__ import annotations

import numpy as np

from sora_jax.condition import Condition
from sora_jax.config import ModelConfig, SamplingConfig
from sora_jax.diffusion import conditioning
from sora_jax.limits import SEEDS
from sora_jax.sampling import causal_checks
from sora_jax.sampling.chunk_checks import chunk_problems
from sora_jax.sampling.request import Request

MOST_SCALE = 10.0  # of a control branch


def check_supported(request: Request, model: ModelConfig) -> None:
    """Check that the model supports the request; report all problems at once.

    Raises:
      ValueError: names each field, its value and the remedy.
    """
    settings, problems = request.settings, []
    if not request.prompts:
        problems.append("prompt is missing: say what the video shows")
    if not 0 <= request.seed < SEEDS:
        problems.append(f"seed must be from 0 to {SEEDS - 1}, got {request.seed}")
    if not 0 <= request.strength <= 1:
        problems.append(f"strength must be from 0 to 1, got {request.strength}")
    if settings.cache != "none" and not settings.cache_curve:
        problems.append(
            "cache_curve is missing: cache magcache needs the curve of these weights, "
            "which python -m sora_jax.sampling.calibration measures"
        )
    problems += check_shape(settings, model, ("frames", "window"))
    problems += causal_checks.check_settings(settings, model)
    if not problems:
        problems += _check_window(request, model)
        problems += chunk_problems(request, model)
        problems += _check_noise(request, model)
        for _, condition in request.schedule(model):
            if condition is not None:
                problems += _check_condition(condition, settings, model)
        problems += _check_guide(request, model)
        problems += _check_keyframes(request, model)
        problems += _check_fading(request, model)
    if problems:
        raise ValueError("\n".join(dict.fromkeys(problems)))


def check_shape(
    settings: SamplingConfig, model: ModelConfig, counted: tuple[str, ...]
) -> list[str]:
    """Return problems with frames and sizes that are no multiples of the model's.

    Args:
      settings: of the request.
      model: the model.
      counted: names of the settings that must be 1 + r k frames.
    """
    problems = []
    time = model.vae.time_factor
    for name in counted:
        count = getattr(settings, name) or 1
        if (count - 1) % time:
            near = max(1, 1 + round((count - 1) / time) * time)
            problems.append(f"{name} must be 1 + {time}k, got {count}: try {near}")
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
    return problems


def _check_window(request: Request, model: ModelConfig) -> list[str]:
    frames, window = request.settings.frames, request.window(model)
    if window == frames or model.chunks is not None or request.tile is not None:
        return []
    context = request.settings.context
    if context > window:
        return [f"context must be at most the window ({window}), got {context}"]
    continues = not model.keyframes or (0,) in model.keyframes
    if model.conditioning != "nothing" and continues:
        return []
    return [
        f"frames: the model {model.name} makes at most {window} frames and cannot "
        f"continue them, got {frames}: make fewer, try --window {frames} (it was not "
        "trained on that many), or use weights that take images"
    ]


def _check_noise(request: Request, model: ModelConfig) -> list[str]:
    if request.noise is None:
        return []
    frames, *cells = request.latent_shape(model)
    wanted = (len(request.prompts), frames + len(request.guide.references), *cells)
    problems = []
    if request.noise.shape != wanted:
        problems.append(
            f"noise must be latents of shape {wanted[1:]} (frames, height, width, "
            f"channels), or with the number of videos ({wanted[0]}) before, for this "
            f"size and number of frames; got {request.noise.shape}: change the file, "
            "--frames or --size"
        )
    elif not (np.abs(request.noise) <= np.finfo(np.float32).max).all():
        problems.append("noise must be finite, got NaN or infinity: draw it again")
    if model.chunks is None and request.window(model) < request.settings.frames:
        problems.append(
            f"noise is for videos made at once, got {request.settings.frames} frames "
            f"in windows of {request.window(model)}: leave it out, or raise --window"
        )
    return problems


def _check_condition(
    condition: Condition, settings: SamplingConfig, model: ModelConfig
) -> list[str]:
    problems = []
    if model.conditioning == "nothing":
        problems.append(
            f"condition: the model {model.name} takes text alone: leave pictures "
            "and clips out, or use weights that take them, such as the default ones"
        )
    if model.conditioning == "history":
        problems.append(
            f"condition: the model {model.name} takes a first picture or a clip to go "
            "on from, and no other pixels: animate from a first picture or extend "
            "forward, or use weights with conditioning channels, such as the default "
            "ones"
        )
    frames = len(condition.mask)
    shape = (min(frames, settings.frames), *settings.size)
    found = {"mask": condition.mask.shape, "pixels": condition.pixels.shape[:3]}
    problems += [
        f"condition.{name} must be of shape {shape} (frames, height, width), got {got}"
        for name, got in found.items()
        if tuple(got) != shape
    ]
    if model.causal is not None:
        problems += [] if problems else causal_checks.check_given(condition, model)
    elif model.conditioning == "tokens" and not problems:
        given = conditioning.prefix_length(np.asarray(condition.mask))
        if given is None or given % model.vae.time_factor != 1:
            problems.append(
                f"condition: the model {model.name} takes only the first "
                f"1 + {model.vae.time_factor}k whole frames: animate from a first "
                "picture or extend forward, or use weights with conditioning "
                "channels, such as the default ones"
            )
    return problems


def _check_guide(request: Request, model: ModelConfig) -> list[str]:
    """Check control video, references and scale."""
    guide, settings = request.guide, request.settings
    if model.conditioning != "control":
        given = {"control": guide.control is not None, "reference": guide.references}
        return [
            f"{name}: the model {model.name} has no control branch: leave it out, or "
            "use weights of VACE"
            for name in given
            if given[name]
        ]
    problems = []
    if not 0 <= guide.scale <= MOST_SCALE:
        problems.append(
            f"control_scale must be from 0 to {MOST_SCALE:g}, got {guide.scale}"
        )
    shape = (settings.frames, *settings.size)
    if guide.control is not None and guide.control.shape[:3] != shape:
        problems.append(
            f"control must be of shape {shape} (frames, height, width), as the video, "
            f"got {guide.control.shape[:3]}: set --frames and --size, or cut it"
        )
    return problems


def _check_keyframes(request: Request, model: ModelConfig) -> list[str]:
    """Check that given pixels are among the frames that the model was trained on."""
    if not model.keyframes:
        return []
    frames = request.settings.frames
    supported = [
        sorted({frame % frames for frame in frames_of}) for frames_of in model.keyframes
    ]
    condition = request.condition
    given = None if condition is None else conditioning.whole_frames(condition.mask)
    if condition is not None and given in supported:
        return []
    names = " or ".join(
        " and ".join({0: "the first", -1: "the last"}[frame] for frame in frames_of)
        for frames_of in model.keyframes
    )
    got = "parts of frames"
    if condition is None:
        got = "no picture"
    elif given is not None:
        got = (
            f"{len(given)} of {frames} frames" if len(given) > 2 else f"frames {given}"
        )
    return [
        f"condition: the model {model.name} needs {names} frame, whole and no other, "
        f"got {got}: animate pictures (FILE, FILE@-1), or use weights that take any"
    ]


def _check_fading(request: Request, model: ModelConfig) -> list[str]:
    strengths = [strength for strength, _ in request.fading]
    if any(not 0 < strength < 1 for strength in strengths):
        return [f"fading: strengths must be between 0 and 1, got {strengths}"]
    fades = model.conditioning in ("channels", "control") and model.causal is None
    if strengths and not fades:
        return [
            f"fading: the model {model.name} has no strengths: leave them "
            "out, or use weights with conditioning channels, such as the default ones"
        ]
    if strengths and request.window(model) < request.settings.frames:
        return [
            f"fading: strengths {strengths} are for videos made at once "
            f"({request.window(model)} frames), got {request.settings.frames}: leave "
            "them out, or make fewer frames"
        ]
    return []

"""The job that the flags of `sample.py` come to, checked before any work.

Everything that can be refused is refused here, before weights are loaded.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np

from sora_jax import cli
from sora_jax.config import ModelConfig, SamplingConfig
from sora_jax.data import outputs, video
from sora_jax.diffusion import conditioning
from sora_jax.sampling import flags
from sora_jax.sampling.request import SEEDS, Request, check
from sora_jax.types import Condition
from sora_jax.weights import folders, published

# Stands for prompts that could not be read, while the other flags are checked.
UNREADABLE = "?"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """A checked command.

    Attributes:
      prompts: one for each video.
      outs: where each goes; a taken name is given a number.
      settings: fields of `SamplingConfig` that were asked for.
      condition: known pixels.
      noise: latents to begin from.
      seed: of the noise.
      weights: folder.
      summary: what will be made, the defaults included.
      files: what the video was made from, for its record.
    """

    prompts: tuple[str, ...]
    outs: tuple[str, ...]
    settings: dict[str, Any]
    condition: Condition | None
    noise: np.ndarray | None
    seed: int
    weights: os.PathLike | str
    summary: str
    files: dict[str, str]


def prepare(arguments: flags.Arguments) -> Job:
    """Check a command, without loading any weights.

    Raises:
      ValueError: names each flag that is wrong, its value and the remedy.
    """
    problems: list[str] = []
    weights = arguments.weights or published.ASSETS
    try:
        model = folders.describe(weights, arguments.model)
    except ValueError as error:
        raise ValueError(flags.as_flag(str(error))) from error
    prompts = _collect(problems, flags.read_prompts, arguments)
    if arguments.variations < 1:
        problems.append(f"--variations must be >= 1, got {arguments.variations}")
    prompts = (UNREADABLE,) if prompts is None else prompts
    prompts = tuple(p for p in prompts for _ in range(max(1, arguments.variations)))
    seed = draw_seed() if arguments.seed is None else arguments.seed
    last = SEEDS - max(1, len(prompts))  # each video has a seed of its own
    if not 0 <= seed <= last:
        problems.append(f"--seed must be from 0 to {last}, got {seed}")
    asked = flags.settings_asked(arguments)
    if arguments.size is not None:
        size = _collect(problems, cli.parse_size, arguments.size)
        asked |= {"size": size} if size else {}
    noise = None
    if arguments.init_noise is not None:
        noise = _collect(problems, flags.read_noise, arguments.init_noise)
    settings = _collect(problems, lambda: model.sampling.asked(**asked))
    if settings is not None:
        request = Request(prompts=prompts, settings=settings)
        _collect(problems, check, request, model)
        if noise is not None:
            one = dataclasses.replace(request, prompts=prompts[:1], noise=noise)
            _collect(problems, check, one, model)
        problems += flags.without_effect(arguments, settings, model)
    outs = _collect(problems, choose_outs, arguments.out, prompts, settings) or ()
    condition = None
    if arguments.image is not None and settings is not None and not problems:
        condition = _collect(problems, first_frame, arguments.image, settings)
    if problems:
        raise ValueError(
            "\n".join(flags.as_flag(line) for line in dict.fromkeys(problems))
        )
    return Job(
        prompts=prompts,
        outs=outs,
        settings=asked,
        condition=condition,
        noise=noise,
        seed=seed,
        weights=weights,
        summary=summarize(model, settings or model.sampling),
        files={
            name: value
            for name in ("image", "init_noise")
            if (value := getattr(arguments, name)) is not None
        },
    )


def summarize(model: ModelConfig, settings: SamplingConfig) -> str:
    """Tell in a line how a video is made."""
    height, width = settings.size
    low = settings.guidance_low
    guidance = f"{settings.guidance:g}" + ("" if low is None else f" then {low:g}")
    return (
        f"{model.name}: {settings.frames} frames of {width}x{height} at "
        f"{settings.fps:g} fps, {settings.steps} steps of {settings.solver}, guidance "
        f"{guidance}, shift {settings.shift:g}"
        + (
            f", negative prompt: {settings.negative_prompt}"
            if settings.negative_prompt
            else ""
        )
    )


def choose_outs(
    out: str, prompts: tuple[str, ...], settings: SamplingConfig | None
) -> tuple[str, ...]:
    """A file for each video; a folder gets names that tell what is in them."""
    if out.endswith("/") or Path(out).is_dir():
        suffix = ".png" if settings is not None and settings.frames == 1 else ".mp4"
        outs = [os.path.join(out, cli.output_name(p) + suffix) for p in prompts]
    else:
        outs = [out] * len(prompts)
    for path in dict.fromkeys(outs):
        outputs.check_output(path)
    return tuple(outs)


def first_frame(image: str, settings: SamplingConfig) -> Condition:
    """The condition of image-to-video: the first frame is known."""
    height, width = settings.size
    frame = video.fit(video.read_image(image), height, width)
    pixels = np.zeros((settings.frames, height, width, 3), np.float32)
    pixels[0] = frame[0]
    mask = conditioning.frames_known(settings.frames, height, width, [0])
    return conditioning.hide(pixels, mask)


def draw_seed() -> int:
    """A seed that is short enough to be typed again."""
    return int.from_bytes(os.urandom(3), "big")


def _collect(problems: list[str], function: Any, *args: Any) -> Any:
    """Call; on a ValueError note the problem and go on with the other checks."""
    try:
        return function(*args)
    except ValueError as error:
        problems.extend(str(error).splitlines())
        return None

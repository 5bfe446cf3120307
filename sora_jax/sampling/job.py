"""The flags of `sample.py` and the job that they come to, checked before any work.

Everything that can be refused is refused here, before weights are loaded.
"""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sora_jax import cli
from sora_jax.config import ModelConfig, SamplingConfig
from sora_jax.data import outputs, video
from sora_jax.diffusion import conditioning
from sora_jax.sampling.request import SEEDS, Request, check
from sora_jax.types import Condition
from sora_jax.weights import folders, published

# Stands for prompts that could not be read, while the other flags are checked.
UNREADABLE = "?"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """Make videos from text, or from text and an image.

    What is not said is as the weights have it; it is printed.
    """

    # What the video shows.
    prompt: str | None = None
    # A text file with a prompt in each line, instead of --prompt.
    prompts: str | None = None
    # What it should not show.
    negative_prompt: str | None = None
    # A picture that becomes the first frame.
    image: str | None = None
    # WIDTHxHEIGHT in pixels, in steps of what the model can divide (default model: 16).
    size: str | None = None
    # Frames of the video: 1 (an image) or 1 + 4k.
    frames: int | None = None
    # Frames per second.
    fps: float | None = None
    # The same seed gives the same video; by default a new one is drawn and printed.
    seed: int | None = None
    # Denoising steps: more take longer and may look better.
    steps: int | None = None
    # How the noise levels are stepped through.
    solver: Literal["euler", "heun", "unipc"] | None = None
    # How closely the prompt is followed; 1 is faster.
    guidance: float | None = None
    # The same for the second transformer, in weights that have two.
    guidance_low: float | None = None
    # Moves the noise levels towards noise.
    shift: float | None = None
    # Videos for each prompt.
    variations: int = 1
    # A folder, or a file ending in .mp4, .gif, .png (frames side by side) or .npy;
    # never overwritten.
    out: str = "videos/"
    # Pixels along the side of the tiles in which frames are decoded, 0 for whole
    # frames; by default as memory allows.
    tile: int | None = None
    # A file of latents [t, h, w, z] to begin from, in the place of the seed's noise.
    init_noise: str | None = None
    # A folder of weights, ours or Wan's (in diffusers' layout or the original one as
    # safetensors); by default those that ship with the package.
    weights: str | None = None
    # The model that the weights must be, such as wan21_1b3.
    model: str | None = None


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
    """

    prompts: tuple[str, ...]
    outs: tuple[str, ...]
    settings: dict[str, Any]
    condition: Condition | None
    noise: np.ndarray | None
    seed: int
    weights: os.PathLike | str
    summary: str


def prepare(arguments: Arguments) -> Job:
    """Check a command, without loading any weights.

    Raises:
      ValueError: names each flag that is wrong, its value and the remedy.
    """
    problems: list[str] = []
    weights = arguments.weights or published.ASSETS
    model = folders.describe(weights, arguments.model)
    prompts = _collect(problems, read_prompts, arguments)
    if arguments.variations < 1:
        problems.append(f"--variations must be >= 1, got {arguments.variations}")
    prompts = (UNREADABLE,) if prompts is None else prompts
    prompts = tuple(p for p in prompts for _ in range(max(1, arguments.variations)))
    seed = draw_seed() if arguments.seed is None else arguments.seed
    last = SEEDS - max(1, len(prompts))  # each video has a seed of its own
    if not 0 <= seed <= last:
        problems.append(f"--seed must be from 0 to {last}, got {seed}")
    asked = settings_asked(arguments)
    if arguments.size is not None:
        size = _collect(problems, cli.parse_size, arguments.size)
        asked |= {"size": size} if size else {}
    noise = None
    if arguments.init_noise is not None:
        noise = _collect(problems, read_noise, arguments.init_noise)
    settings = _collect(problems, lambda: dataclasses.replace(model.sampling, **asked))
    if settings is not None:
        request = Request(prompts=prompts, settings=settings)
        _collect(problems, check, request, model)
        if noise is not None:
            one = dataclasses.replace(request, prompts=prompts[:1], noise=noise)
            _collect(problems, check, one, model)
        problems += without_effect(arguments, settings, model)
    outs = _collect(problems, choose_outs, arguments.out, prompts, settings) or ()
    condition = None
    if arguments.image is not None and settings is not None and not problems:
        condition = _collect(problems, first_frame, arguments.image, settings)
    if problems:
        raise ValueError("\n".join(_as_flag(line) for line in dict.fromkeys(problems)))
    return Job(
        prompts=prompts,
        outs=outs,
        settings=asked,
        condition=condition,
        noise=noise,
        seed=seed,
        weights=weights,
        summary=summarize(model, settings or model.sampling),
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
        + (f", without: {settings.negative_prompt}" if settings.negative_prompt else "")
    )


def settings_asked(arguments: Arguments) -> dict[str, Any]:
    """The fields of `SamplingConfig` that the flags give, but for the size."""
    names = "negative_prompt frames fps steps solver guidance guidance_low shift tile"
    asked = {name: getattr(arguments, name) for name in names.split()}
    return {name: value for name, value in asked.items() if value is not None}


def without_effect(
    arguments: Arguments, settings: SamplingConfig, model: ModelConfig
) -> list[str]:
    """Problems with flags that would do nothing beside the others."""
    problems = []
    if arguments.negative_prompt and not settings.guides:
        problems.append(
            f"--negative-prompt {arguments.negative_prompt!r} does nothing with "
            "--guidance 1: leave one of them out"
        )
    if arguments.image is not None and model.known == "nothing":
        problems.append(
            f"--image {arguments.image!r}: the model {model.name} makes videos from "
            "text alone; leave --image out, or give other --weights"
        )
    if arguments.guidance_low is not None and model.boundary is None:
        problems.append(
            f"--guidance-low {arguments.guidance_low} is for models of two "
            f"transformers, and {model.name} has one: leave it out"
        )
    if arguments.image is not None and settings.frames == 1:
        problems.append(
            f"--image {arguments.image!r} is the first frame, and with --frames 1 "
            "nothing is left to make: leave one of them out"
        )
    return problems


def read_prompts(arguments: Arguments) -> tuple[str, ...]:
    """The prompts of the command line or of a file."""
    if arguments.prompts is None:
        return () if arguments.prompt is None else (arguments.prompt,)
    if arguments.prompt is not None:
        raise ValueError("--prompt and --prompts are both given: leave one out")
    path = Path(arguments.prompts)
    if not path.is_file():
        raise ValueError(f"--prompts {arguments.prompts!r} is no file")
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"--prompts {arguments.prompts!r} is not UTF-8 text ({error}): save it as "
            "UTF-8"
        ) from error
    lines = [line.strip() for line in text.splitlines()]
    prompts = tuple(line for line in lines if line)
    if not prompts:
        raise ValueError(f"--prompts {arguments.prompts!r} holds no prompt")
    return prompts


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


def read_noise(path: str) -> np.ndarray:
    """Read latents [t, h, w, z] to begin from, as those of one video.

    Raises:
      ValueError: the file is none, or holds other things than finite numbers.
    """
    if not Path(path).is_file():
        raise ValueError(f"--init-noise {path!r} is no file")
    try:
        noise = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(
            f"--init-noise {path!r} holds no array ({error}): save one with np.save"
        ) from error
    if not (np.issubdtype(noise.dtype, np.floating) and np.isfinite(noise).all()):
        raise ValueError(
            f"--init-noise {path!r} must hold finite floating-point numbers, got "
            f"{noise.dtype}"
        )
    return noise[None] if noise.ndim == 4 else noise


def draw_seed() -> int:
    """A seed that is short enough to be typed again."""
    return int.from_bytes(os.urandom(3), "big")


def _as_flag(problem: str) -> str:
    """Name the flag where a problem begins with a field."""
    field = re.split(r"\W", problem, maxsplit=1)[0]
    names = {item.name for item in dataclasses.fields(Arguments)}
    flag = f"--{field.replace('_', '-')}"
    return flag + problem[len(field) :] if field in names else problem


def _collect(problems: list[str], function: Any, *args: Any) -> Any:
    """Call; on a ValueError note the problem and go on with the other checks."""
    try:
        return function(*args)
    except ValueError as error:
        problems.extend(str(error).splitlines())
        return None

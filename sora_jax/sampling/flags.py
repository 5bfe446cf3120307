"""The flags of `sample.py`: what they mean, and what they say about files."""

from __future__ import annotations

import dataclasses
import re
import zipfile
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sora_jax.config import ModelConfig, SamplingConfig


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
    if arguments.negative_prompt and not settings.guides(model.boundary is not None):
        problems.append(
            f"--negative-prompt {arguments.negative_prompt!r} does nothing with "
            "--guidance 1: leave one of them out"
        )
    if arguments.image is not None and model.known == "nothing":
        problems.append(
            f"--image {arguments.image!r}: the model {model.name} makes videos from "
            "text alone; leave --image out, or give other --weights"
        )
    if arguments.init_noise is not None and arguments.seed is not None:
        problems.append(
            f"--seed {arguments.seed} does nothing beside --init-noise: leave one out"
        )
    if arguments.init_noise is not None and arguments.variations > 1:
        problems.append(
            f"--variations {arguments.variations} would be equal videos with "
            "--init-noise: leave one of them out"
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


def read_noise(path: str) -> np.ndarray:
    """Read latents [t, h, w, z] to begin from, as those of one video.

    Raises:
      ValueError: the file is none, or holds other things than finite numbers.
    """
    if not Path(path).is_file():
        raise ValueError(f"--init-noise {path!r} is no file")
    try:
        noise = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"--init-noise {path!r} holds no array ({error}): save one with np.save"
        ) from error
    kind = getattr(noise, "dtype", type(noise).__name__)
    if not isinstance(noise, np.ndarray) or not np.issubdtype(kind, np.floating):
        raise ValueError(
            f"--init-noise {path!r} must hold one array of floating-point numbers, got "
            f"{kind}: save it with np.save"
        )
    if not np.isfinite(noise).all():
        raise ValueError(f"--init-noise {path!r} holds numbers that are not finite")
    return noise.astype(np.float32)[None] if noise.ndim == 4 else noise


def as_flag(problem: str) -> str:
    """Name the flag where a problem begins with a field."""
    field = re.split(r"\W", problem, maxsplit=1)[0]
    names = {item.name for item in dataclasses.fields(Arguments)}
    if field == "noise":
        return "--init-noise" + problem[len(field) :]
    flag = f"--{field.replace('_', '-')}"
    return flag + problem[len(field) :] if field in names else problem

"""The `sample.py` command: flags to a checked job, a job to files.

Everything that can be refused is refused in `prepare`, before weights are loaded.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sora_jax import cli
from sora_jax.config import DiTConfig, SamplingConfig, VAEConfig, from_json
from sora_jax.data import outputs, video
from sora_jax.diffusion import conditioning
from sora_jax.sampling.model import Progress, load
from sora_jax.sampling.request import Request, check
from sora_jax.types import Condition
from sora_jax.weights import published

# Stands for prompts that could not be read, while the other flags are checked.
UNREADABLE = "?"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """Make videos from text, or from text and an image.

    What is not said is as the weights' config.json has it under "sampling".
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
    # Moves the noise levels towards noise.
    shift: float | None = None
    # Videos for each prompt.
    variations: int = 1
    # A folder, or a file ending in .mp4, .gif, .png (frames side by side) or .npy;
    # never overwritten.
    out: str = "videos/"
    # A folder of weights; by default those that ship with the package.
    weights: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """A checked command.

    Attributes:
      prompts: one for each video.
      outs: where each goes; a taken name is given a number.
      settings: fields of `SamplingConfig` that were asked for.
      condition: known pixels.
      seed: of the noise.
      weights: folder.
    """

    prompts: tuple[str, ...]
    outs: tuple[str, ...]
    settings: dict[str, Any]
    condition: Condition | None
    seed: int
    weights: os.PathLike | str


def prepare(arguments: Arguments) -> Job:
    """Check a command, without loading any weights.

    Raises:
      ValueError: names each flag that is wrong, its value and the remedy.
    """
    problems: list[str] = []
    weights = arguments.weights or published.ASSETS
    config = published.read_config(weights)
    dit = from_json(DiTConfig, config["dit"])
    prompts = _collect(problems, read_prompts, arguments)
    names = ("negative_prompt frames fps steps solver guidance shift").split()
    asked = {name: getattr(arguments, name) for name in names}
    settings = {name: value for name, value in asked.items() if value is not None}
    if arguments.size is not None:
        size = _collect(problems, cli.parse_size, arguments.size)
        settings |= {"size": size} if size else {}
    if arguments.variations < 1:
        problems.append(f"--variations must be >= 1, got {arguments.variations}")
    if prompts is None:
        prompts = (UNREADABLE,)
    if arguments.seed is not None and not 0 <= arguments.seed < 2**63:
        problems.append(f"--seed must be from 0 to 2**63 - 1, got {arguments.seed}")
    prompts = tuple(p for p in prompts for _ in range(max(1, arguments.variations)))
    defaults = from_json(SamplingConfig, config.get("sampling", {}))
    sampling = _collect(problems, lambda: dataclasses.replace(defaults, **settings))
    if sampling is not None:
        _collect(
            problems,
            check,
            Request(prompts=prompts, settings=sampling),
            from_json(VAEConfig, config["vae"]),
            dit,
        )
        if arguments.negative_prompt and sampling.guidance == 1:
            problems.append(
                f"--negative-prompt {arguments.negative_prompt!r} does nothing with "
                "--guidance 1: leave one of them out"
            )
        if arguments.image is not None and dit.extra_channels == 0:
            problems.append(
                f"--image {arguments.image!r}: the model of {str(weights)!r} makes "
                "videos from text alone; leave --image out, or give other --weights"
            )
    outs = _collect(problems, choose_outs, arguments.out, prompts, sampling) or ()
    condition = None
    if arguments.image is not None and sampling is not None and not problems:
        condition = _collect(problems, first_frame, arguments.image, sampling)
    if problems:
        raise ValueError("\n".join(dict.fromkeys(problems)))
    return Job(
        prompts=prompts,
        outs=outs,
        settings=settings,
        condition=condition,
        seed=draw_seed() if arguments.seed is None else arguments.seed,
        weights=weights,
    )


def run(job: Job, progress: Progress) -> Iterator[str]:
    """Make the videos one by one; yield each file's path when it is whole."""
    model = load(job.weights)
    for number, (prompt, out) in enumerate(zip(job.prompts, job.outs, strict=True)):
        seed = job.seed + number
        started = time.perf_counter()
        settings = dataclasses.replace(model.weights.defaults, **job.settings)
        chunks = model.stream(
            prompt,
            condition=job.condition,
            seed=seed,
            progress=progress,
            **job.settings,
        )
        path = outputs.write(out, (chunk[0] for chunk in chunks), settings.fps)
        outputs.write_sidecar(
            path,
            {
                "prompt": prompt,
                "seed": seed,
                **dataclasses.asdict(settings),
                "weights": f"{model.weights.name} {model.weights.digest}",
                "seconds": round(time.perf_counter() - started, 2),
            },
        )
        yield str(path)


def read_prompts(arguments: Arguments) -> tuple[str, ...]:
    """The prompts of the command line or of a file."""
    if arguments.prompts is None:
        return () if arguments.prompt is None else (arguments.prompt,)
    if arguments.prompt is not None:
        raise ValueError("--prompt and --prompts are both given: leave one out")
    path = Path(arguments.prompts)
    if not path.is_file():
        raise ValueError(f"--prompts {arguments.prompts!r} is no file")
    lines = [line.strip() for line in path.read_text().splitlines()]
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

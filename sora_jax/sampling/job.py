"""The job that the flags of `sample.py` come to, checked before any work.

Everything that can be refused is refused here, before weights are loaded.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np

from sora_jax import cli, sharding
from sora_jax.config import MeshConfig, ModelConfig, SamplingConfig
from sora_jax.data import outputs
from sora_jax.sampling import duties, fitted, flags, inputs
from sora_jax.sampling.parts import check_parts
from sora_jax.sampling.request import SEEDS
from sora_jax.sampling.tasks.brief import Brief
from sora_jax.weights import folders, published


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """A checked command.

    Attributes:
      task: its name.
      prompts: one for each video.
      outs: where each goes; a taken name is given a number.
      settings: how all are made.
      made: the same, with the frames and the size that come of it.
      build: from a prompt and a seed to the parts of its video.
      noise: latents to begin from.
      seed: of the first video's noise; the next has the next.
      weights: folder.
      mesh: how devices share them.
      summary: what will be made, the defaults included.
      record: flags that say what the videos were made from.
    """

    task: str
    prompts: tuple[str, ...]
    outs: tuple[str, ...]
    settings: SamplingConfig
    made: SamplingConfig
    build: inputs.Build
    noise: np.ndarray | None
    seed: int
    weights: os.PathLike | str
    mesh: MeshConfig
    summary: str
    record: dict[str, Any]


def prepare(arguments: flags.Arguments) -> Job:
    """Check a command, without loading any weights.

    Raises:
      ValueError: names each flag that is wrong, its value and the remedy.
    """
    weights = arguments.weights or published.ASSETS
    try:
        model = folders.describe(weights, arguments.model)
    except ValueError as error:
        raise ValueError(flags.as_flag(str(error))) from error
    problems = duties.check_task(arguments)
    is_clear = not problems
    prompts = _collect(problems, inputs.read_prompts, arguments) or ("",)
    if arguments.variations < 1:
        problems.append(f"--variations must be >= 1, got {arguments.variations}")
    prompts = tuple(p for p in prompts for _ in range(max(1, arguments.variations)))
    seed = draw_seed() if arguments.seed is None else arguments.seed
    last = SEEDS - max(1, len(prompts))  # each video has a seed of its own
    if not 0 <= seed <= last:
        problems.append(f"--seed must be from 0 to {last}, got {seed}")
    shape, heads = dataclasses.asdict(arguments.mesh), model.dit.heads
    _collect(problems, functools.partial(sharding.make_mesh, heads=heads), shape)
    noise = None
    if arguments.init_noise is not None:
        noise = _collect(problems, inputs.read_noise, arguments.init_noise)
    settings = _collect(problems, flags.settings_asked, arguments, model)
    if arguments.size is not None and settings is not None:
        size = _collect(problems, cli.parse_size, arguments.size)
        if size is not None:
            resized = functools.partial(dataclasses.replace, settings, size=size)
            settings = _collect(problems, resized) or settings
    build, shown = None, None
    if settings is not None:
        problems += duties.without_effect(arguments, settings, model)
        brief = Brief(
            model=model, prompts=prompts[:1], settings=settings, seed=0, noise=noise
        )
        # Files are read where the rest is right, since that may take long.
        has_files = any(getattr(arguments, name) for name in inputs.FILES)
        if is_clear and not (problems and has_files):
            build = _collect(problems, inputs.read, arguments, settings, model)
        if build is not None:
            shown = _collect(problems, lambda: check_parts(build(brief), model))
    frames, size = shown or (None, None)
    name = "" if any(prompts) else arguments.task
    outs = _collect(problems, choose_outs, arguments.out, prompts, frames, name) or ()
    if problems or settings is None or build is None:
        raise ValueError(
            "\n".join(
                flags.as_flag(line, arguments) for line in dict.fromkeys(problems)
            )
        )
    assert frames is not None and size is not None
    fitted.tell(arguments, settings, model)
    made = dataclasses.replace(settings, frames=frames, size=size)
    return Job(
        task=arguments.task,
        prompts=prompts,
        outs=outs,
        settings=settings,
        made=made,
        build=build,
        noise=noise,
        seed=seed,
        weights=weights,
        mesh=arguments.mesh,
        summary=summarize(arguments.task, model, made),
        record=inputs.record(arguments),
    )


def summarize(task: str, model: ModelConfig, settings: SamplingConfig) -> str:
    """Tell in a line how a video is made."""
    height, width = settings.size
    low = settings.guidance_low
    guidance = f"{settings.guidance:g}" + ("" if low is None else f" then {low:g}")
    return (
        f"{model.name}, {task}: {settings.frames} frames of {width}x{height} at "
        f"{settings.fps:g} fps, {settings.steps} steps of {settings.solver}, guidance "
        f"{guidance}, shift {settings.shift:g}"
        + (
            f", negative prompt: {settings.negative_prompt}"
            if settings.negative_prompt
            else ""
        )
    )


def choose_outs(
    out: str, prompts: tuple[str, ...], frames: int | None, name: str
) -> tuple[str, ...]:
    """A file for each video; a folder gets names that tell what is in them."""
    if out.endswith("/") or Path(out).is_dir():
        suffix = ".png" if frames == 1 else ".mp4"
        names = [name or cli.output_name(prompt) for prompt in prompts]
        outs = [os.path.join(out, name + suffix) for name in names]
    else:
        outs = [out] * len(prompts)
    # The first host writes.
    for path in dict.fromkeys(outs) if jax.process_index() == 0 else ():
        outputs.check_output(path)
    return tuple(outs)


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

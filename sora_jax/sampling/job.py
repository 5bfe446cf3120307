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
from sora_jax.files import quoted
from sora_jax.limits import Limits
from sora_jax.sampling import checks, duties, fitted, flags, inputs
from sora_jax.sampling.allowed import exceeding
from sora_jax.sampling.parts import check_parts
from sora_jax.sampling.request import check_shape
from sora_jax.sampling.tasks.brief import Brief
from sora_jax.weights import bundle, folders


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
      limits: what may be asked for.
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
    limits: Limits


def prepare(arguments: flags.Arguments) -> Job:
    """Check a command, without loading any weights.

    Raises:
      ValueError: names each flag that is wrong, its value and the remedy.
    """
    weights, limits = arguments.weights or bundle.ASSETS, arguments.limits
    try:
        model = folders.describe(weights, arguments.model)
    except ValueError as error:
        raise ValueError(flags.as_flag(str(error))) from error
    problems, is_clear, prompts, size = checks.read(arguments)
    seed = draw_seed() if arguments.seed is None else arguments.seed
    shape, heads = dataclasses.asdict(arguments.mesh), model.dit.heads
    checks.collect(problems, functools.partial(sharding.make_mesh, heads=heads), shape)
    noise = None
    if arguments.init_noise is not None:
        noise = checks.collect(
            problems, inputs.read_noise, arguments.init_noise, limits
        )
    settings = checks.collect(problems, flags.settings_asked, arguments, model)
    if size is not None and settings is not None:
        resized = functools.partial(dataclasses.replace, settings, size=size)
        settings = checks.collect(problems, resized) or settings
    build, shown = None, None
    if settings is not None:
        problems += exceeding(settings, limits)
        problems += duties.without_effect(arguments, settings, model)
        brief = Brief(
            model=model,
            prompts=prompts[:1],
            settings=settings,
            noise=noise,
            limits=limits,
        )
        # Files are read where the rest is right, since that may take long.
        has_files = any(getattr(arguments, name) for name in inputs.FILES)
        if has_files and arguments.outpaint is None:
            problems += check_shape(settings, model, ("window",))
        if is_clear and not (problems and has_files):
            build = checks.collect(problems, inputs.read, arguments, settings, model)
        if build is not None:
            shown = checks.collect(
                problems, lambda: check_parts(build(brief), model, limits)
            )
    frames, size = shown or (None, None)
    name = "" if any(prompts) else arguments.task
    outs = (
        checks.collect(problems, choose_outs, arguments.out, prompts, frames, name)
        or ()
    )
    if problems or settings is None or build is None:
        raise ValueError("\n".join(flags.as_flags(problems, arguments)))
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
        limits=limits,
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
            f", negative prompt: {quoted(settings.negative_prompt)}"
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

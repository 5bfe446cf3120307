"""Resolve the flags of `sample.py` to a job, and check it before loading weights."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from sora_jax import cli, sharding
from sora_jax.config import (
    MeshConfig,
    ModelConfig,
    Quantization,
    SamplingConfig,
    resolve_dtypes,
)
from sora_jax.data import outputs
from sora_jax.files import quoted
from sora_jax.limits import Limits
from sora_jax.sampling import checks, flags, live, resizing, task_flags
from sora_jax.sampling.feasibility import check_segments
from sora_jax.sampling.flag_problems import as_flag, as_flags, as_refine
from sora_jax.sampling.limit_checks import limit_problems
from sora_jax.sampling.media import MediaFiles
from sora_jax.sampling.refinement import Refinement, plan_refinement
from sora_jax.sampling.request_checks import check_shape
from sora_jax.sampling.segments import Segment, with_prompts
from sora_jax.sampling.tasks import Storyboard, Task
from sora_jax.sampling.tasks.context import TaskContext
from sora_jax.weights import adapter_recipes, bundle, folders
from sora_jax.weights.adapter_paths import parse_lora
from sora_jax.weights.places import Place

_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """A checked command of `sample.py`.

    Attributes:
      task: its name.
      prompts: one for each video.
      outs: path of each; a number is appended to a name that is taken.
      settings: of all videos, with the resulting frames and size.
      segments: of every video, without its prompt and seed.
      seed: of the first video; each later video adds one.
      weights: folder or files.
      loras: adapters of the weights.
      quantization: how the weights are kept in memory.
      mesh: how devices shard them.
      summary: a line to print, defaults included.
      record: task arguments for the sidecar.
      limits: of the request.
      live: where frames are shown as they are made, if anywhere.
      refinement: of each video, in a second file; None: it is not refined.
    """

    task: str
    prompts: tuple[str, ...]
    outs: tuple[str, ...]
    settings: SamplingConfig
    segments: Sequence[Segment]
    seed: int
    weights: Place
    loras: tuple[str, ...]
    quantization: Quantization
    mesh: MeshConfig
    summary: str
    record: dict[str, Any]
    limits: Limits
    live: str | None = None
    refinement: Refinement | None = None


def prepare(asked: checks.CheckedFlags | flags.SampleOptions) -> Job:
    """Check a command without loading weights.

    Raises:
      ValueError: names each flag that is wrong, its value and the remedy.
    """
    asked = (
        asked if isinstance(asked, checks.CheckedFlags) else checks.check_flags(asked)
    )
    arguments, problems = asked.arguments, list(asked.problems)
    weights = arguments.place or bundle.ASSETS
    try:
        model = folders.describe(weights, arguments.model)
    except ValueError as error:
        raise ValueError(as_flag(str(error))) from error
    _check_mesh(problems, arguments.mesh, model)
    settings = resolve_settings(problems, asked, model)
    task, segments, first, shown = asked.task, None, None, (None, None)
    if settings is not None and task is not None:
        if arguments.seconds is not None:
            task = dataclasses.replace(task, frames=settings.frames)  # pyright: ignore
        if isinstance(task, Storyboard) and not problems:
            task = read_storyboard(problems, task, arguments.limits)
        segments = make_segments(problems, task, arguments, settings, model)
    if segments is not None:
        first = with_prompts(segments, asked.prompts[:1], arguments.seed or 0)
        resolved = resolve_dtypes(model, sharding.SINGLE_DEVICE.platform)
        shown = checks.collect(
            problems, check_segments, first, resolved, arguments.limits
        ) or (None, None)
    if arguments.live is not None:
        videos = len(asked.prompts)
        checks.collect(problems, live.check_live, arguments.live, model, videos)
    frames, size = shown
    refinement = None
    if frames and asked.refine is not None and first is not None and settings:
        found: list[str] = []
        refinement = checks.collect(
            found, plan_refinement, asked, settings, model, first, (frames, size)
        )
        problems += map(as_refine, found)
    name = "" if any(asked.prompts) else arguments.task
    outs = checks.collect(
        problems, choose_outs, arguments.out, asked.prompts, frames, name
    )
    if problems or settings is None or segments is None or task is None:
        raise ValueError("\n".join(as_flags(problems, arguments)))
    assert frames is not None and size is not None
    if arguments.recipe is None and arguments.sigmas is None:
        for line in adapter_recipes.suggestions(
            [parse_lora(lora) for lora in arguments.lora]
        ):
            _logger.warning(line)
    resizing.warn_about_resizing(task, arguments.fit, settings, model, arguments.limits)
    settings = dataclasses.replace(settings, frames=frames, size=size)
    return Job(
        task=arguments.task,
        prompts=asked.prompts,
        outs=outs,
        settings=settings,
        segments=segments,
        seed=draw_seed() if arguments.seed is None else arguments.seed,
        weights=weights,
        loras=arguments.lora,
        quantization=arguments.quantization,
        mesh=arguments.mesh,
        summary=summarize(arguments.task, model, settings)
        + ("" if refinement is None else refinement.summary),
        record=sidecar_record(task, arguments.fit)
        | ({} if arguments.recipe is None else {"recipe": arguments.recipe}),
        limits=arguments.limits,
        live=arguments.live,
        refinement=refinement,
    )


def _check_mesh(problems: list[str], mesh: MeshConfig, model: ModelConfig) -> None:
    shape, heads = dataclasses.asdict(mesh), model.dit.heads
    checks.collect(problems, functools.partial(sharding.make_mesh, heads=heads), shape)


def resolve_settings(
    problems: list[str], asked: checks.CheckedFlags, model: ModelConfig
) -> SamplingConfig | None:
    """Merge the settings of model and flags; append problems."""
    arguments = asked.arguments
    settings = checks.collect(problems, flags.override_settings, arguments, model)
    if settings is None:
        return None
    if asked.size is not None:
        resized = functools.partial(dataclasses.replace, settings, size=asked.size)
        settings = checks.collect(problems, resized) or settings
    problems += limit_problems(settings, arguments.limits)
    problems += task_flags.without_effect(arguments, settings, model)
    return settings


def make_segments(
    problems: list[str],
    task: Task,
    arguments: flags.SampleOptions,
    settings: SamplingConfig,
    model: ModelConfig,
) -> list[Segment] | None:
    """Build the segments of the task; append problems."""
    # Reading files may take long: only when everything else is right.
    has_files = bool(file_arguments(task))
    if has_files and arguments.task != "outpaint":
        problems += check_shape(settings, model, ("window",))
    if problems and has_files:
        return None
    limits = arguments.limits
    media = MediaFiles(settings=settings, fit=arguments.fit, limits=limits, prefix="--")
    context = TaskContext(model=model, settings=settings, media=media, limits=limits)
    return checks.collect(problems, task.segments, context)


def read_storyboard(
    problems: list[str], task: Storyboard, limits: Limits
) -> Storyboard:
    """Read the file of a storyboard, unless checking it has; append problems."""
    media = MediaFiles(settings=SamplingConfig(), limits=limits, prefix="--")
    board = checks.collect(problems, media.storyboard, task.storyboard)
    return task if board is None else dataclasses.replace(task, storyboard=board)


def file_arguments(task: Task) -> dict[str, Any]:
    """Return the arguments of a task that are paths."""
    return {
        name: value
        for name, argument in task.arguments().items()
        if argument.kind.check_file is not None
        and (value := getattr(task, name)) is not None
    }


def sidecar_record(task: Task, fit: str) -> dict[str, Any]:
    """Return the task arguments for a video's sidecar."""
    said = task.to_json()
    said.pop("task")
    said.pop("frames", None)  # the settings hold the final number
    if "strength" in task.arguments():
        said["strength"] = getattr(task, "strength")  # noqa: B009
    if set(file_arguments(task)) - {"init_noise"}:
        said["fit"] = fit
    if isinstance(task, Storyboard):
        # The file may change later, and holds the prompts.
        said["story"] = task.storyboard.text
    return said


def summarize(task: str, model: ModelConfig, settings: SamplingConfig) -> str:
    """Summarize the settings of a video in one line."""
    height, width = settings.size
    low = settings.guidance_low
    guidance = f"{settings.guidance:g}" + ("" if low is None else f" then {low:g}")
    is_image = settings.frames == 1
    length = "an image" if is_image else f"{settings.frames} frames"
    rate = "" if is_image else f" at {settings.fps:g} fps"
    return (
        f"{model.name}, {task}: {length} of {width}x{height}{rate}, "
        f"{settings.steps} steps of {settings.solver}, guidance "
        f"{guidance}, shift {settings.shift:g}"
        + (
            ""
            if settings.cache == "none"
            else f", {settings.cache} up to {settings.cache_threshold:g}"
        )
        + (
            f", negative prompt: {quoted(settings.negative_prompt)}"
            if settings.negative_prompt
            else ""
        )
    )


def choose_outs(
    out: str, prompts: tuple[str, ...], frames: int | None, name: str
) -> tuple[str, ...]:
    """Choose the path of each video; in a folder, named after its prompt."""
    if out.endswith("/") or Path(out).is_dir():
        suffix = ".png" if frames == 1 else ".mp4"
        names = [name or cli.output_name(prompt) for prompt in prompts]
        outs = [os.path.join(out, name + suffix) for name in names]
    else:
        outs = [out] * len(prompts)
    # Only the first host writes.
    for path in dict.fromkeys(outs) if jax.process_index() == 0 else ():
        outputs.check_output(path)
    return tuple(outs)


def draw_seed() -> int:
    """Draw a seed short enough to type."""
    return int.from_bytes(os.urandom(3), "big")

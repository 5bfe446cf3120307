"""The flags of `sample.py`: how videos are made, and the arguments of every task."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable
from typing import Annotated, Any

import tyro

from sora_jax.config import (
    SAMPLING_MESH,
    Fit,
    MeshConfig,
    ModelConfig,
    SamplingConfig,
    Solver,
)
from sora_jax.limits import LIMITS, UNLIMITED, Limits
from sora_jax.sampling.tasks import TASKS, Task

# The flags that the tasks' dataclasses know themselves how to read.
_TYPES: dict[str, Any] = {
    "one": str | None,
    "several": tyro.conf.UseAppendAction[tuple[str, ...]],
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """Make videos from text, pictures and clips.

    What is not said is as the weights have it; it is printed.

    Attributes:
      task: What is done: videos from text, or through pictures; a clip extended,
        made a loop, connected with another, edited, repainted in a region or
        around it, with scenes inserted or spans removed; a storyboard followed; a
        clip or a draft refined.
      prompt: What the video shows.
      prompts: A text file with a prompt in each line, instead of --prompt.
      negative_prompt: What it should not show.
      fit: How pictures and clips are brought to the size.
      size: WIDTHxHEIGHT in pixels, in steps of what the model can divide (default
        model: 16).
      seconds: The length in seconds, instead of --frames.
      fps: Frames per second.
      window: Frames that are made at once; a longer video is made window by
        window.
      context: Frames that a window sees of what is before it.
      seed: The same seed gives the same video; by default a new one is drawn and
        printed.
      steps: Denoising steps: more take longer and may look better.
      preview: A quick look, in a quarter of the steps, of which there are at
        least four.
      solver: How the noise levels are stepped through.
      guidance: How closely the prompt is followed; 1 is faster.
      guidance_low: The same for the second transformer, in weights that have two.
      shift: Moves the noise levels towards noise.
      variations: Videos for each prompt.
      out: A folder, or a file ending in .mp4, .gif, .png (frames side by side) or
        .npy; never overwritten.
      tile: Pixels along the side of the tiles in which frames are decoded, 0 for
        whole frames; by default as memory allows.
      weights: A folder of weights, ours or Wan's (in diffusers' layout or the
        original one as safetensors); by default those that ship with the package.
      model: The model that the weights must be, such as wan21_1b3.
      mesh: How several devices share the weights, and each video.
      unlimited: Lift the limits of what may be asked for (sora_jax/limits.py),
        memory among them.
    """

    task: Annotated[str, tyro.conf.arg(metavar=f"{{{','.join(TASKS)}}}")] = "generate"
    prompt: str | None = None
    prompts: str | None = None
    negative_prompt: str | None = None
    fit: Fit = "crop"
    size: str | None = None
    seconds: float | None = None
    fps: float | None = None
    window: int | None = None
    context: int | None = None
    seed: int | None = None
    steps: int | None = None
    preview: bool = False
    solver: Solver | None = None
    guidance: float | None = None
    guidance_low: float | None = None
    shift: float | None = None
    variations: int = 1
    out: str = "videos/"
    tile: int | None = None
    weights: str | None = None
    model: str | None = None
    mesh: MeshConfig = SAMPLING_MESH
    unlimited: bool = False

    def __post_init__(self):
        given = self.given()
        if self.task == "generate" and "image" in given:
            object.__setattr__(self, "task", "animate")
        elif self.task == "generate" and "storyboard" in given:
            object.__setattr__(self, "task", "storyboard")
        elif self.task == "inpaint" and "outpaint" in given and "mask" not in given:
            object.__setattr__(self, "task", "outpaint")

    @property
    def limits(self) -> Limits:
        """What may be asked for."""
        return UNLIMITED if self.unlimited else LIMITS

    @property
    def kind(self) -> type[Task]:
        """The task's class."""
        return TASKS[self.task]

    def given(self) -> dict[str, Any]:
        """What flags say of any task's arguments."""
        return {
            name: value
            for name in TASK_FLAGS
            if (value := getattr(self, name)) not in (None, ())
        }


def _task_flags() -> dict[str, tuple[Any, Any, str]]:
    """The type, default and meaning of every flag that some task has."""
    types, about = {}, {}
    for task in TASKS.values():
        for name, argument in task.arguments().items():
            if argument.kind.flag is not None:
                types[name] = argument.kind.flag
                usual = argument.default
                text = argument.about + (
                    f" Default: {usual}." if isinstance(usual, (str, float)) else ""
                )
                tasks = about.setdefault(name, {}).setdefault(text, [])
                tasks.append(task.name)
    flags = {}
    for name, flag in types.items():
        default = () if flag == "several" else None
        kind = _TYPES.get(flag) if isinstance(flag, str) else flag | None
        told = " ".join(
            f"{'/'.join(tasks)}: {text}" for text, tasks in about[name].items()
        )
        flags[name] = (kind, default, told)
    return flags


TASK_FLAGS = _task_flags()
# `SampleOptions` with the flags of the tasks.
SampleFlags: Any = dataclasses.make_dataclass(
    "SampleFlags",
    [
        (name, Annotated[kind, tyro.conf.arg(help=about)], default)
        for name, (kind, default, about) in TASK_FLAGS.items()
    ],
    bases=(SampleOptions,),
    frozen=True,
    kw_only=True,
    namespace={"__doc__": SampleOptions.__doc__},
)


def settings_from_flags(arguments: SampleOptions) -> dict[str, Any]:
    """The settings that flags say, but for those that depend on the model."""
    names = "negative_prompt frames fps window context steps solver guidance"
    names += " guidance_low shift tile"
    return {
        name: value
        for name in names.split()
        if (value := getattr(arguments, name)) is not None
    }


def override_settings(arguments: SampleOptions, model: ModelConfig) -> SamplingConfig:
    """The model's settings, but for what the flags say (--size apart)."""
    asked = settings_from_flags(arguments)
    if arguments.preview:
        asked["steps"] = max(4, model.sampling.steps // 4)
    if arguments.seconds is not None:
        asked["frames"] = frames_in(arguments, model)
    return model.sampling.asked(**asked)


def frames_in(arguments: SampleOptions, model: ModelConfig) -> int:
    """The frames of --seconds: of a whole video, as the VAE divides them."""
    assert arguments.seconds is not None
    fps = model.sampling.fps if arguments.fps is None else arguments.fps
    count, unit = arguments.seconds * fps, model.vae.time_factor
    if not 0 < fps < math.inf:
        return 1  # refused elsewhere
    if not math.isfinite(count) or count <= 0:
        raise ValueError(f"--seconds must be > 0, got {arguments.seconds}")
    # Of a clip, new frames are counted, in any number.
    is_whole = "video" not in arguments.given()
    return 1 + unit * round(count / unit) if is_whole else max(1, round(count))


def as_flag(problem: str, arguments: SampleOptions | None = None) -> str:
    """Name the flag where a problem begins with a field."""
    field = re.split(r"\W", problem, maxsplit=1)[0]
    after = problem[len(field) :]
    if field == "noise":
        return "--init-noise" + after
    if field == "condition" and arguments is not None:
        return (
            f"--task {arguments.task}: what it is given of the video is no use:{after}"
        )
    if field == "size" and arguments is not None and arguments.task == "outpaint":
        return f"--outpaint{after}"
    names = {item.name for item in dataclasses.fields(SampleFlags)}
    return f"--{field.replace('_', '-')}{after}" if field in names else problem


def as_flags(problems: Iterable[str], arguments: SampleOptions) -> list[str]:
    """Name the flags of problems, each of which is told once."""
    lines = (
        as_flag(line, arguments)
        for problem in problems
        for line in problem.splitlines()
    )
    return list(dict.fromkeys(lines))

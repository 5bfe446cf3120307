"""The flags of `sample.py`."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable
from typing import Any, Literal

import tyro

from sora_jax.config import (
    SAMPLING_MESH,
    Direction,
    Fit,
    MeshConfig,
    ModelConfig,
    SamplingConfig,
    Solver,
)
from sora_jax.limits import LIMITS, UNLIMITED, Limits

Task = Literal[
    "generate",
    "animate",
    "extend",
    "loop",
    "connect",
    "edit",
    "inpaint",
    "insert",
    "remove",
    "storyboard",
    "upscale",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """Make videos from text, pictures and clips.

    What is not said is as the weights have it; it is printed.
    """

    # What is done: videos from text, or through pictures; a clip extended, made a loop,
    # connected with another, edited, painted anew in a region or around it, with scenes
    # inserted or spans removed; a storyboard followed; a clip or a draft refined.
    task: Task = "generate"
    # What the video shows.
    prompt: str | None = None
    # A text file with a prompt in each line, instead of --prompt.
    prompts: str | None = None
    # What it should not show.
    negative_prompt: str | None = None
    # A picture that the video goes through, as FILE, FILE@FRAME or FILE@FRAME:STRENGTH
    # (-1 is the last frame; a strength below 1 lets the video leave it); repeatable.
    image: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    # A clip that the task is about; two for connect.
    video: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    # An image or a video as large as the clip is shown: what is white is made anew
    # (inpaint).
    mask: str | None = None
    # WIDTHxHEIGHT, larger than the clip's --size (outpaint).
    outpaint: str | None = None
    # A YAML or JSON file of prompts, pictures and their times (storyboard).
    storyboard: str | None = None
    # Which end of the clip is extended.
    direction: Direction = "forward"
    # FROM:TO in seconds, of the result to insert, of the clip to remove; repeatable.
    span: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    # How much is changed: 0 nothing, 1 all (edit: 0.7, upscale: 0.4).
    strength: float | None = None
    # How pictures and clips are brought to the size.
    fit: Fit = "crop"
    # WIDTHxHEIGHT in pixels, in steps of what the model can divide (default model: 16).
    size: str | None = None
    # Frames of the video, 1 (an image) or 1 + 4k; where a clip is extended, connected,
    # made a loop or bridged, the number of new frames.
    frames: int | None = None
    # The same in seconds.
    seconds: float | None = None
    # Frames per second.
    fps: float | None = None
    # Frames that are made at once; a longer video is made window by window.
    window: int | None = None
    # Frames that a window sees of what is before it.
    context: int | None = None
    # The same seed gives the same video; by default a new one is drawn and printed.
    seed: int | None = None
    # Denoising steps: more take longer and may look better.
    steps: int | None = None
    # A quick look, in a quarter of the steps, of which there are at least four.
    preview: bool = False
    # How the noise levels are stepped through.
    solver: Solver | None = None
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
    # How several devices share the weights, and each video.
    mesh: MeshConfig = SAMPLING_MESH
    # Lift the limits of what may be asked for (sora_jax/limits.py), memory among them.
    unlimited: bool = False

    def __post_init__(self):
        if self.task == "generate" and (self.image or self.storyboard):
            task = "animate" if self.image else "storyboard"
            object.__setattr__(self, "task", task)

    @property
    def limits(self) -> Limits:
        """What may be asked for."""
        return UNLIMITED if self.unlimited else LIMITS


def settings_given(arguments: Arguments) -> dict[str, Any]:
    """The settings that flags say, but for those that depend on the model."""
    names = "negative_prompt frames fps window context steps solver guidance"
    names += " guidance_low shift tile"
    return {
        name: value
        for name in names.split()
        if (value := getattr(arguments, name)) is not None
    }


def settings_asked(arguments: Arguments, model: ModelConfig) -> SamplingConfig:
    """The model's settings, but for what the flags say (--size apart)."""
    asked = settings_given(arguments)
    if arguments.preview:
        asked["steps"] = max(4, model.sampling.steps // 4)
    if arguments.seconds is not None:
        asked["frames"] = frames_in(arguments, model)
    return model.sampling.asked(**asked)


def frames_in(arguments: Arguments, model: ModelConfig) -> int:
    """The frames of --seconds: of a whole video, as the VAE divides them."""
    assert arguments.seconds is not None
    fps = model.sampling.fps if arguments.fps is None else arguments.fps
    count, unit = arguments.seconds * fps, model.vae.time_factor
    if not 0 < fps < math.inf:
        return 1  # refused elsewhere
    if not math.isfinite(count) or count <= 0:
        raise ValueError(f"--seconds must be > 0, got {arguments.seconds}")
    # Of a clip, new frames are counted, in any number.
    is_whole = not arguments.video
    return 1 + unit * round(count / unit) if is_whole else max(1, round(count))


def as_flag(problem: str, arguments: Arguments | None = None) -> str:
    """Name the flag where a problem begins with a field."""
    field = re.split(r"\W", problem, maxsplit=1)[0]
    rest = problem[len(field) :]
    names = {item.name for item in dataclasses.fields(Arguments)}
    if field == "noise":
        return "--init-noise" + rest
    if field == "condition" and arguments is not None:
        return f"--task {arguments.task}: what it knows of the video is no use:{rest}"
    if field == "size" and arguments is not None and arguments.outpaint is not None:
        return f"--outpaint{rest}"
    return f"--{field.replace('_', '-')}{rest}" if field in names else problem


def as_flags(problems: Iterable[str], arguments: Arguments) -> list[str]:
    """Name the flags of problems, each of which is told once."""
    lines = (
        as_flag(line, arguments)
        for problem in problems
        for line in problem.splitlines()
    )
    return list(dict.fromkeys(lines))

"""The flags of `sample.py`: settings, and the arguments of every task."""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated, Any

import tyro

from sora_jax import cli
from sora_jax.config import (
    RECIPES,
    SAMPLING_MESH,
    Cache,
    Fit,
    MeshConfig,
    ModelConfig,
    Quantization,
    SamplingConfig,
    Solver,
    recipe_settings,
)
from sora_jax.limits import LIMITS, UNLIMITED, Limits
from sora_jax.sampling.magcache import read_curve
from sora_jax.sampling.tasks import TASKS, Task
from sora_jax.weights.places import PARTS, Place, WeightsFiles

# The types of flags by `Kind.flag`.
_TYPES: dict[str, Any] = {
    "one": str | None,
    "several": tyro.conf.UseAppendAction[tuple[str, ...]],
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """Make videos from text, pictures and clips.

    Settings default to those of the weights, which are printed.

    Attributes:
      task: What to do: generate from text, animate pictures, extend a clip, loop it,
        connect two, edit one, repaint a region (inpaint) or the surroundings
        (outpaint), insert scenes, remove spans, follow a storyboard, upscale.
      prompt: Text that describes the video.
      prompts: A text file with one prompt per line, instead of --prompt.
      negative_prompt: Text that describes what to avoid.
      fit: How pictures and clips are resized to --size.
      size: WIDTHxHEIGHT in pixels, multiples of the model's unit (default model:
        16).
      seconds: The length in seconds, instead of --frames.
      fps: Frames per second.
      window: Frames sampled at once; longer videos are sampled window by window.
      context: Frames of the previous window that a window is conditioned on.
      seed: The same seed gives the same video; by default a new one is drawn and
        printed.
      steps: Denoising steps: more are slower and may look better.
      preview: Use a quarter of the steps, but at least four.
      recipe: Sample as these step-distilled weights or adapters were trained for, in
        few steps without guidance. Flags beside it count more, but for --steps.
      sigmas: Noise levels of the steps, decreasing from at most 1, before the shift;
        by default evenly spaced.
      solver: The ODE solver; renoise is for few-step models.
      guidance: Classifier-free guidance scale; 1 switches it off, which is faster.
      guidance_low: The same for the low-noise transformer of models that have two.
      shift: Moves the noise levels towards noise.
      cache: Skip the transformer's blocks in steps that hardly change (MagCache), which
        is faster and less exact.
      cache_curve: For --cache magcache: a file that python -m
        sora_jax.sampling.calibration has written for these weights.
      cache_threshold: The error that may accumulate before blocks run again.
      cache_max_skips: Steps in a row that may skip.
      cache_retention: The share of the steps, the first ones, that never skip.
      refine: WIDTHxHEIGHT of a second file beside each video, in which it is refined:
        enlarged, noised to --refine-strength and denoised again, in tiles if it is
        larger than the model's own videos.
      refine_strength: From 0 (no change) to 1 (the draft is ignored); 0.4 by default.
      refine_fps: Frames per second of the refined video, blended from those of the
        draft; by default as many.
      refine_tile: WIDTHxHEIGHT of the tiles in which frames are refined or upscaled; by
        default the model's own size.
      refine_overlap: Share of a tile that it has in common with the next, at least.
      variations: Videos per prompt.
      out: A folder, or a file ending in .mp4, .gif, .png (frames side by side) or
        .npy; never overwritten.
      live: Show frames of causal models as they are made: a file or a named pipe, or -
        for standard output, which gets an MP4 that plays while it grows.
      tile: Side in pixels of the tiles that the VAE decodes; 0 decodes whole
        frames; chosen by free memory by default.
      weights: A folder of sora_jax weights, or of Wan's (diffusers' layout, or the
        original one as safetensors), or the .safetensors file of one of Wan's
        transformers; by default those shipped with the package.
      transformer: A file to take the transformer from, in place of the folder's.
      transformer_low: The same for the low-noise transformer of models that have two.
      vae: A file to take the VAE from.
      text_encoder: A file to take the text encoder from.
      picture_encoder: A file to take CLIP's vision tower from.
      tokenizer: The SentencePiece model of the text encoder.
      quantization: Keep the linear maps of transformer and text encoder in 8 bits, for
        half the memory.
      lora: An adapter, as FILE or FILE:SCALE; may be repeated. A file that
        configs/finetune.py or another program wrote, or a folder in PEFT's form. For
        models with two transformers high:FILE or low:FILE.
      model: Require the weights to be of this model, such as wan21_1b3.
      mesh: How devices shard the weights and each video.
      unlimited: Lift the limits of requests (sora_jax/limits.py), memory included.
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
    recipe: Annotated[str | None, tyro.conf.arg(metavar=f"{{{','.join(RECIPES)}}}")] = (
        None
    )
    sigmas: tuple[float, ...] | None = None
    solver: Solver | None = None
    guidance: float | None = None
    guidance_low: float | None = None
    shift: float | None = None
    cache: Cache | None = None
    cache_curve: str | None = None
    cache_threshold: float | None = None
    cache_max_skips: int | None = None
    cache_retention: float | None = None
    refine: str | None = None
    refine_strength: float | None = None
    refine_fps: float | None = None
    refine_tile: str | None = None
    refine_overlap: float | None = None
    variations: int = 1
    out: str = "videos/"
    live: str | None = None
    tile: int | None = None
    weights: str | None = None
    transformer: str | None = None
    transformer_low: str | None = None
    vae: str | None = None
    text_encoder: str | None = None
    picture_encoder: str | None = None
    tokenizer: str | None = None
    quantization: Quantization = "none"
    lora: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
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
        """The limits of the request."""
        return UNLIMITED if self.unlimited else LIMITS

    @property
    def kind(self) -> type[Task]:
        """The task's class."""
        return TASKS[self.task]

    @property
    def place(self) -> Place | None:
        """The weights that flags name; None: those that ship with the package."""
        parts = {name: x for name in PARTS if (x := getattr(self, name)) is not None}
        if not parts or self.weights is None:
            return self.weights
        return WeightsFiles(base=self.weights, **parts)

    def given(self) -> dict[str, Any]:
        """Return the task arguments that flags set."""
        return {
            name: value
            for name, (_, default, _) in TASK_FLAGS.items()
            if (value := getattr(self, name)) != default
        }


def _takers(name: str) -> list[type[Task]]:
    """Return the tasks that take an argument."""
    return [task for task in TASKS.values() if name in task.arguments()]


def _task_flags() -> dict[str, tuple[Any, Any, str]]:
    """Return the type, default and help of every task's flags."""
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
        usual = {task.arguments()[name].default for task in _takers(name)}
        if not isinstance(flag, str) and all(isinstance(x, str) for x in usual):
            kind, default = flag, usual.pop()  # a choice that all tasks share
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
    """Return the settings that flags set, but for size, seconds, recipe and files."""
    sizes = {}
    if arguments.refine_tile is not None:
        sizes["refine_tile"] = cli.parse_size(arguments.refine_tile, "--refine-tile")
    names = "negative_prompt frames fps window context steps solver guidance"
    names += " sigmas guidance_low shift tile cache cache_threshold cache_max_skips"
    names += " cache_retention refine_overlap"
    return {
        name: value
        for name in names.split()
        if (value := getattr(arguments, name)) is not None
    } | sizes


def override_settings(arguments: SampleOptions, model: ModelConfig) -> SamplingConfig:
    """Return the model's settings with those of the flags (except --size)."""
    asked = settings_from_flags(arguments)
    if arguments.recipe is not None:
        asked = recipe_settings(arguments.recipe) | asked
    if arguments.cache_curve is not None:
        asked["cache_curve"] = read_curve(arguments.cache_curve)
    # Beside explicit levels it is refused (`task_flags.without_effect`).
    if arguments.preview and not (asked.get("sigmas") or model.sampling.sigmas):
        asked["steps"] = max(4, model.sampling.steps // 4)
    if arguments.seconds is not None:
        asked["frames"] = frames_in(arguments, model)
    return model.sampling.asked(**asked)


def frames_in(arguments: SampleOptions, model: ModelConfig) -> int:
    """Convert --seconds to frames; to 1 + r k of them for a whole video."""
    assert arguments.seconds is not None
    fps = model.sampling.fps if arguments.fps is None else arguments.fps
    count, unit = arguments.seconds * fps, model.vae.time_factor
    if not 0 < fps < math.inf:
        return 1  # `task_flags` reports it
    if not math.isfinite(count) or count <= 0:
        raise ValueError(f"--seconds must be > 0, got {arguments.seconds}")
    # New frames of a clip may be any number.
    is_whole = "video" not in arguments.given()
    return 1 + unit * round(count / unit) if is_whole else max(1, round(count))

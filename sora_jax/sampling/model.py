"""The Python API of a model: prompts, pictures and clips in, videos out.

Every task becomes segments (`tasks`), every segment windows (`windows`), every window
latents (`window_sampler`): prompt -> text states -> keys and values, once; noise ->
[DiT, solver step] x N -> latents -> VAE decoder -> pixels.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from sora_jax import sharding
from sora_jax.condition import Condition
from sora_jax.config import resolve_dtypes
from sora_jax.limits import LIMITS, Limits
from sora_jax.sampling import codec, converters, rewording, unfamiliar
from sora_jax.sampling.feasibility import check_segments
from sora_jax.sampling.limit_checks import check_prompts, limit_problems
from sora_jax.sampling.media import MediaFiles
from sora_jax.sampling.rewording import Expander
from sora_jax.sampling.segment_sampler import SegmentSampler
from sora_jax.sampling.segments import Segment, with_prompts
from sora_jax.sampling.task_methods import TaskMethods, arguments_among
from sora_jax.sampling.tasks import Generate, Task, build
from sora_jax.sampling.tasks.context import TaskContext
from sora_jax.sampling.window_sampler import Progress, no_progress
from sora_jax.sampling.windows import Frames
from sora_jax.weights.adapter_paths import parse_lora
from sora_jax.weights.applied_adapters import with_adapters
from sora_jax.weights.model_weights import Weights

_logger = logging.getLogger(__name__)
# diffusers' names of settings.
DIFFUSERS = {
    "num_frames": "frames",
    "num_inference_steps": "steps",
    "guidance_scale": "guidance",
    "guidance_scale_2": "guidance_low",
}


class Model(TaskMethods):
    """A loaded model with a method for each task.

    Clips are `[t h w 3]` in [-1, 1], NumPy or JAX, of a size that the model supports;
    given pixels are returned unchanged. Every method that makes a video also takes:

    - `seed` of the noise; the same seed gives the same video;
    - `progress`, which wraps the loops over segments, windows, steps and frames, as in
      `(numbers, unit) -> numbers`;
    - fields of `SamplingConfig` that override the weights' defaults;
    - `recipe`, the name of several such fields for step-distilled weights
      (`sora_jax.config.RECIPES`); fields given beside it count more.

    Each raises a ValueError that names every wrong field before any work.
    """

    def __init__(
        self,
        weights: Weights,
        *,
        limits: Limits = LIMITS,
        expander: Expander | None = None,
        rewords: bool = True,
        hints: Sequence[str] = (),
    ):
        """Keep the weights; networks are loaded and compiled on first use.

        Args:
          weights: the networks.
          limits: of requests; `sora_jax.limits.UNLIMITED` lifts them.
          expander: knows the vocabulary of the model's captions.
          rewords: whether to rewrite prompts in this vocabulary, where the meaning is
            known to stay the same; changes are reported.
          hints: lines about recipes, told once if videos are made without one.
        """
        self.weights, self.limits = weights, limits
        self.expander, self.rewords, self.hints = expander, rewords, hints
        self.config = weights.config
        # Each warning is given once, however many videos are made.
        self._tell = functools.cache(warn)

    def __repr__(self) -> str:
        """Show the model's name and its default frames, size and rate."""
        settings = self.config.sampling
        height, width = settings.size
        return (
            f"Model({self.config.name!r}, {settings.frames} frames of {width}x{height} "
            f"at {settings.fps:g} fps)"
        )

    def with_loras(self, loras: Sequence[str] = (), *, merged: bool = False) -> Model:
        """Return this model with other adapters, in place of any that it has.

        Adapters of the same modules and ranks, and other scales, run what was compiled
        for the first.

        Args:
          loras: see `load`; without any, the model is as before its first adapter.
          merged: add them to kernels, which are read anew and then run as fast as
            without adapters; otherwise they lie beside the kernels, which both models
            share.
        """
        asked = [parse_lora(lora, "loras") for lora in loras]
        weights = with_adapters(self.weights, asked, merged=merged)
        return type(self)(
            weights, limits=self.limits, expander=self.expander, rewords=self.rewords
        )

    def generate(
        self, prompts: str | Sequence[str], **options: Any
    ) -> Float[np.ndarray, "b t h w 3"]:
        """Generate videos; see `stream` for the arguments."""
        return np.concatenate(list(self.stream(prompts, **options)), axis=1)

    def __call__(self, prompt: str | Sequence[str], **options: Any) -> Any:
        """Generate videos, with diffusers' names of arguments.

        Args:
          prompt: what each video shows.
          **options: `num_frames`, `height`, `width`, `num_inference_steps`,
            `guidance_scale`, `guidance_scale_2`; or those of `generate`.
        """
        asked: dict[str, Any] = {}
        for name, value in options.items():
            if DIFFUSERS.get(name, name) in asked:
                raise ValueError(
                    f"{name} is given twice, by two names: leave one of them out"
                )
            asked[DIFFUSERS.get(name, name)] = value
        sides = {name: asked.pop(name) for name in ("height", "width") if name in asked}
        if len(sides) == 1 or (sides and "size" in asked):
            raise ValueError(
                f"size must be (height, width), got {sides} alone: give height and "
                "width, or size"
            )
        if sides:
            asked["size"] = (sides["height"], sides["width"])
        return self.generate(prompt, **asked)

    def stream(
        self,
        prompts: str | Sequence[str],
        *,
        condition: Condition | None = None,
        init_noise: Float[np.ndarray, "b t2 h2 w2 z"] | None = None,
        frames: int | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
        **settings: Any,
    ) -> Iterator[Frames]:
        """Generate videos and yield their frames in order, chunk by chunk.

        Args:
          prompts: one for each video.
          condition: given pixels, the same for every video.
          init_noise: initial latents, instead of those drawn from the seed.
          frames: in each video.
          seed: of the noise; the same seed gives the same videos.
          progress: see the class.
          **settings: fields of `SamplingConfig` that override the weights' defaults;
            `control`, `reference` and `control_scale`, for weights of VACE.
        """
        given = {"condition": condition, "init_noise": init_noise, "frames": frames}
        given = {name: value for name, value in given.items() if value is not None}
        guide = arguments_among(Generate, settings)
        task = build(Generate, given | guide)
        settings = {n: x for n, x in settings.items() if n not in guide}
        return self.perform(task, prompts, seed=seed, progress=progress, **settings)

    def reconstruct(
        self, pixels: Float[np.ndarray, "b t h w 3"]
    ) -> Float[np.ndarray, "b t h w 3"]:
        """Encode clips and decode them again."""
        pixels = converters.as_clips(pixels, "pixels")
        codec.check_divisible(self.config.vae, pixels.shape)
        vae, mesh_plan = self.weights.vae, self.weights.mesh_plan
        return codec.reconstruct(vae, pixels, mesh_plan)

    def perform(
        self,
        task: Task,
        prompts: str | Sequence[str] | None = None,
        *,
        seed: int = 0,
        progress: Progress = no_progress,
        **settings: Any,
    ) -> Iterator[Frames]:
        """Perform a task and yield the frames of its videos in order, chunk by chunk.

        Args:
          task: the task and its arguments.
          prompts: one for each video.
          seed: of the noise; the same seed gives the same videos.
          progress: see the class.
          **settings: fields of `SamplingConfig` that override the weights' defaults;
            the size defaults to that of the task's input.
        """
        if not isinstance(task, Task):
            raise converters.argument_error("task", "one of sampling.tasks", task)
        converters.as_function(progress, "progress")
        size = input_size(task)
        if size is not None:
            settings = {"size": size, **settings}
        if prompts is None and task.needs_prompt:
            raise ValueError(f"prompts is missing: {task.name} needs one")
        texts = converters.as_prompts("" if prompts is None else prompts)
        if task.prompt == "none" and any(texts):
            raise converters.argument_error(
                "prompts", f"left out, since {task.name} has texts of its own", prompts
            )
        number = converters.as_count(seed, "seed")
        with sharding.fail_together():  # a task checks the memory of its host
            segments = task.segments(self.context(settings))
            problems = check_prompts(texts, self.limits)
            if problems:
                raise ValueError("\n".join(problems))
            segments = with_prompts(segments, texts, number)
            platform = self.weights.mesh_plan.platform
            config = resolve_dtypes(self.config, platform)
            check_segments(segments, config, self.limits)
        return self.sample(self.reword(segments), progress)

    def context(self, settings: dict[str, Any]) -> TaskContext:
        """Return the context of a task, with the given settings."""
        if not {"recipe", "sigmas"} & set(settings):
            for line in self.hints:
                self._tell(line)
        asked = self.config.sampling.asked(**converters.as_settings(settings))
        problems = limit_problems(asked, self.limits)
        if problems:
            raise ValueError("\n".join(problems))
        return TaskContext(
            model=self.config,
            settings=asked,
            media=MediaFiles(settings=asked, limits=self.limits),
            limits=self.limits,
        )

    def reword(self, segments: Sequence[Segment]) -> Sequence[Segment]:
        """Rewrite the segments' prompts; warn about changes and unknown words."""
        knows = self.weights.plain is None  # adapters may know other words
        if self.rewords and knows and self.expander is not None:
            segments = rewording.reword(
                segments, self.config, self.expander, self._tell
            )
        tokenizer = self.weights.tokenizer
        for line in unfamiliar.find_unfamiliar(
            segments, self.config, tokenizer, self.expander
        ):
            self._tell(line)
        return segments

    def sample(
        self, segments: Sequence[Segment], progress: Progress = no_progress
    ) -> Iterator[Frames]:
        """Sample checked segments and yield their frames in order."""
        sampler = SegmentSampler(self.weights, progress)
        return sampler.sample(segments)


def input_size(task: Task) -> tuple[int, int] | None:
    """Return the (height, width) of a task's first input array, if any.

    A task that resizes its input has none.
    """
    if task.size == "another":
        return None
    shapes = [x.shape for x in task.footage() if isinstance(x, np.ndarray)]
    return (shapes[0][1], shapes[0][2]) if shapes else None


def warn(line: str) -> None:
    """Warn, on the first of several hosts."""
    if jax.process_index() == 0:
        _logger.warning(line)

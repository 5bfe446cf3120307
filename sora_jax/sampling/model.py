"""The model as people use it: prompts, pictures and clips in, videos out.

Every task becomes parts (`tasks`), every part windows (`rolling`), every window latents
(`making`): prompt -> text states -> keys and values, once; noise -> [DiT, solver step]
x N -> latents -> VAE decoder -> pixels.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from sora_jax import files, sharding
from sora_jax.config import SAMPLING_MESH, MeshConfig
from sora_jax.files import PathLike
from sora_jax.limits import LIMITS, Limits
from sora_jax.sampling import arguments, codec, reading, unseen
from sora_jax.sampling.allowed import check_prompts, exceeding
from sora_jax.sampling.clip_methods import ClipMethods
from sora_jax.sampling.making import Progress, silent
from sora_jax.sampling.parts import Canvas, Clip, Part, check_parts
from sora_jax.sampling.player import Player
from sora_jax.sampling.rolling import Frames
from sora_jax.sampling.tasks.brief import Brief
from sora_jax.types import Condition
from sora_jax.weights import bundle, folders
from sora_jax.weights.parts import Weights

_logger = logging.getLogger(__name__)
# What diffusers calls settings.
DIFFUSERS = {
    "num_frames": "frames",
    "num_inference_steps": "steps",
    "guidance_scale": "guidance",
    "guidance_scale_2": "guidance_low",
}


class Model(ClipMethods):
    """Weights that answer requests.

    Clips are `[t h w 3]` in [-1, 1], of NumPy or JAX, of a size that the model can
    make; what is known of them comes back as it is. Every method that makes a video
    also takes

      seed: of the noise; the same seed gives the same video.
      progress: wraps parts, windows, steps and frames: (numbers, unit) -> numbers.
      **settings: fields of `SamplingConfig` that differ from the weights' own.

    and raises a ValueError, before any work, that names every field that is wrong.
    """

    def __init__(
        self, weights: Weights, *, limits: Limits = LIMITS, rewords: bool = True
    ):
        """Keep the weights; nothing is loaded or compiled before it is asked for.

        Args:
          weights: the networks.
          limits: what may be asked for; `sora_jax.limits.UNLIMITED` lifts them.
          rewords: whether prompts are read in the words of the model's training, where
            these are known to say the same; what is read is told.
        """
        self.weights, self.limits, self.rewords = weights, limits, rewords
        self.config = weights.config
        # Each warning is given once, however many videos are made.
        self._tell = functools.cache(tell)

    def __repr__(self) -> str:
        """Name the weights and what they make by default."""
        settings = self.config.sampling
        height, width = settings.size
        return (
            f"Model({self.config.name!r}, {settings.frames} frames of {width}x{height} "
            f"at {settings.fps:g} fps)"
        )

    def generate(
        self, prompts: str | Sequence[str], **options: Any
    ) -> Float[np.ndarray, "b t h w 3"]:
        """Make videos: see `stream`."""
        return np.concatenate(list(self.stream(prompts, **options)), axis=1)

    def __call__(self, prompt: str | Sequence[str], **options: Any) -> Any:
        """Generate videos, with the names that diffusers gives arguments.

        Args:
          prompt: what each video shows.
          **options: `num_frames`, `height`, `width`, `num_inference_steps`,
            `guidance_scale`, `guidance_scale_2`; or those of `generate`.
        """
        ours: dict[str, Any] = {}
        for name, value in options.items():
            ours[DIFFUSERS.get(name, name)] = value
        sides = {name: ours.pop(name) for name in ("height", "width") if name in ours}
        if len(sides) == 1 or (sides and "size" in ours):
            raise ValueError(
                f"size must be (height, width), got {sides} alone: give height and "
                "width, or size"
            )
        if sides:
            ours["size"] = (sides["height"], sides["width"])
        return self.generate(prompt, **ours)

    def stream(
        self,
        prompts: str | Sequence[str],
        *,
        condition: Condition | None = None,
        noise: Float[np.ndarray, "b t2 h2 w2 z"] | None = None,
        seed: int = 0,
        progress: Progress = silent,
        **settings: Any,
    ) -> Iterator[Frames]:
        """Make videos and yield their frames in order, chunk by chunk.

        Args:
          prompts: what each video shows.
          condition: pixels that are known, the same for every video.
          noise: latents to begin from, in the place of those that the seed gives.
          seed: of the noise; the same seed gives the same videos.
          progress: see the class.
          **settings: fields of `SamplingConfig` that differ from the weights' own.
        """
        arguments.as_function(progress, "progress")
        brief = self.brief(prompts, seed=seed, settings=settings)
        frames = brief.settings.frames
        if condition is not None:
            condition = arguments.as_condition(condition)
        if noise is not None:
            noise = arguments.as_array(noise, "noise", 5, "[b t h w z] of latents")
        brief = dataclasses.replace(brief, noise=noise)
        request = brief.request(frames, condition=condition)
        return self.perform([Canvas(request=request, stop=frames)], progress)

    def reconstruct(
        self, pixels: Float[np.ndarray, "b t h w 3"]
    ) -> Float[np.ndarray, "b t h w 3"]:
        """Pass clips through the VAE."""
        pixels = arguments.as_clips(pixels, "pixels")
        codec.check(self.config.vae, pixels.shape)
        with self.weights.on_mesh():
            return codec.reconstruct(self.weights.parts["vae"], pixels)

    def run(
        self,
        clip: Clip | None,
        prompt: str,
        task: Callable[[Brief], list[Part]],
        *,
        seed: int = 0,
        progress: Progress = silent,
        **settings: Any,
    ) -> Clip:
        """Perform a task, at the size of a clip unless another is asked for."""
        arguments.as_text(prompt, "prompt")
        arguments.as_function(progress, "progress")
        if clip is not None:
            settings = {"size": clip.shape[1:3], **settings}
        with sharding.fail_together():  # a task asks what memory its own host has
            parts = task(self.brief(prompt, seed=seed, settings=settings))
        return np.concatenate(list(self.perform(parts, progress)), axis=1)[0]

    def perform(self, parts: Sequence[Part], progress: Progress) -> Iterator[Frames]:
        """Check parts, then make them and yield their frames in order."""
        return self.make(self.read(parts), progress)

    def read(self, parts: Sequence[Part]) -> Sequence[Part]:
        """Check parts; return them in the words that are read, and tell of the rest."""
        with sharding.fail_together():  # as each host has its own memory
            check_parts(parts, self.config, self.limits)
        if self.rewords:
            parts = reading.read(parts, self.config, self._tell)
        for line in unseen.find(parts, self.config, self.weights.tokenizer):
            self._tell(line)
        return parts

    def make(self, parts: Sequence[Part], progress: Progress) -> Iterator[Frames]:
        """Make parts that were read and yield their frames in order."""
        return self.weights.each(Player(self.weights, progress).perform(parts))

    def brief(
        self, prompts: str | Sequence[str], *, seed: int, settings: dict[str, Any]
    ) -> Brief:
        """What a task is told."""
        asked = self.config.sampling.asked(**arguments.as_settings(settings))
        texts = arguments.as_prompts(prompts)
        problems = exceeding(asked, self.limits) + check_prompts(texts, self.limits)
        if problems:
            raise ValueError("\n".join(problems))
        return Brief(
            model=self.config,
            prompts=texts,
            settings=asked,
            seed=arguments.as_count(seed, "seed"),
            limits=self.limits,
        )


def tell(line: str) -> None:
    """Warn, on the first of several hosts."""
    if jax.process_index() == 0:
        _logger.warning(line)


def load(
    folder: PathLike = bundle.ASSETS,
    mesh: MeshConfig = SAMPLING_MESH,
    *,
    limits: Limits = LIMITS,
    rewords: bool = True,
) -> Model:
    """Load a model; without a folder, the one that ships with the package.

    Args:
      folder: of weights, ours or Wan's.
      mesh: how devices share them, and each video.
      limits: what may be asked for; `sora_jax.limits.UNLIMITED` lifts them.
      rewords: see `Model`.

    Raises:
      ValueError: an argument is of another type, the folder is none, or a file in it
        is missing or damaged.
    """
    if not isinstance(folder, (str, os.PathLike)):
        raise arguments.refuse("folder", "a path", folder)
    if not isinstance(mesh, MeshConfig):
        raise arguments.refuse("mesh", "a sora_jax.config.MeshConfig", mesh)
    if not isinstance(limits, Limits):
        raise arguments.refuse("limits", "sora_jax.limits.Limits", limits)
    if not isinstance(rewords, bool):
        raise arguments.refuse("rewords", "True or False", rewords)
    where = files.located(folder, "folder")
    return Model(folders.load(where, mesh=mesh), limits=limits, rewords=rewords)

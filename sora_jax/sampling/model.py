"""The model as people use it: prompts, pictures and clips in, videos out.

Every task becomes parts (`tasks`), every part windows (`rolling`), every window latents
(`making`): prompt -> text states -> keys and values, once; noise -> [DiT, solver step]
x N -> latents -> VAE decoder -> pixels.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from sora_jax.config import SAMPLING_MESH, MeshConfig
from sora_jax.files import PathLike
from sora_jax.sampling import codec, reading, unseen
from sora_jax.sampling.making import Progress, silent
from sora_jax.sampling.parts import Canvas, Clip, Part, check_parts
from sora_jax.sampling.player import Player
from sora_jax.sampling.rolling import Frames
from sora_jax.sampling.tasks import joining, keyframes, retouching, splicing, story
from sora_jax.sampling.tasks.brief import Brief
from sora_jax.sampling.tasks.joining import Direction
from sora_jax.sampling.tasks.keyframes import Keyframe
from sora_jax.sampling.tasks.retouching import EDIT, REFINE, Size
from sora_jax.sampling.tasks.splicing import Span
from sora_jax.sampling.tasks.story import Stretch
from sora_jax.types import Condition
from sora_jax.weights import folders, published
from sora_jax.weights.parts import Weights

_logger = logging.getLogger(__name__)


class Model:
    """Weights that answer requests.

    Clips are `[t h w 3]` in [-1, 1], of a size that the model can make; what is known
    of them comes back as it is. Every method that makes a video also takes

      seed: of the noise; the same seed gives the same video.
      progress: wraps parts, windows, steps and frames: (numbers, unit) -> numbers.
      **settings: fields of `SamplingConfig` that differ from the weights' own.

    and raises a ValueError, before any work, that names every field that is wrong.
    """

    def __init__(self, weights: Weights, *, rewords: bool = True):
        """Keep the weights; nothing is loaded or compiled before it is asked for.

        Args:
          weights: the networks.
          rewords: whether prompts are read in the words of the model's training, where
            these are known to say the same; what is read is told.
        """
        self.weights, self.rewords = weights, rewords
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
        brief = self.brief(prompts, seed=seed, settings=settings)
        frames = brief.settings.frames
        brief = dataclasses.replace(brief, noise=noise)
        request = brief.request(frames, condition=condition)
        return self.perform([Canvas(request=request, stop=frames)], progress)

    def animate(
        self, images: Clip | Sequence[Keyframe], prompt: str = "", **options: Any
    ) -> Clip:
        """Make a video that begins with a picture, or goes through several.

        Args:
          images: one frame `[1 h w 3]`, or keyframes.
          prompt: what is shown.
          **options: see the class; `frames` are those of the whole video.
        """
        keys = [Keyframe(pixels=images)] if isinstance(images, np.ndarray) else images
        return self.run(
            keys[0].pixels if keys else None,
            prompt,
            lambda brief: keyframes.animate(brief, keys, brief.settings.frames),
            **options,
        )

    def extend(
        self,
        clip: Clip,
        prompt: str = "",
        *,
        frames: int,
        direction: Direction = "forward",
        **options: Any,
    ) -> Clip:
        """Continue a clip by so many frames, forward, backward, or both."""
        return self.run(
            clip,
            prompt,
            lambda brief: joining.extend(brief, clip, frames, direction),
            **options,
        )

    def loop(
        self, clip: Clip | None = None, prompt: str = "", *, frames: int, **options: Any
    ) -> Clip:
        """Make a video whose last frame flows into its first.

        Args:
          clip: that is to loop; without one a video is made from the prompt.
          prompt: what is shown.
          frames: that are added to the clip, or, without one, of the whole.
          **options: see the class.
        """

        def parts(brief: Brief) -> list[Part]:
            if clip is None:
                return joining.loop_from_prompt(brief, frames)
            return joining.loop(brief, clip, frames)

        return self.run(clip, prompt, parts, **options)

    def connect(
        self,
        first: Clip,
        second: Clip,
        prompt: str = "",
        *,
        frames: int,
        **options: Any,
    ) -> Clip:
        """Show two clips with a transition of so many frames between them."""
        return self.run(
            first,
            prompt,
            lambda brief: joining.connect(brief, first, second, frames),
            **options,
        )

    def insert(
        self, clip: Clip, prompt: str, *, spans: Sequence[Span], **options: Any
    ) -> Clip:
        """Insert scenes, which fill those spans (seconds) of the result."""
        refuse_length(options)
        return self.run(
            clip, prompt, lambda brief: splicing.insert(brief, clip, spans), **options
        )

    def remove(
        self,
        clip: Clip,
        prompt: str = "",
        *,
        spans: Sequence[Span],
        frames: int | None = None,
        **options: Any,
    ) -> Clip:
        """Take spans (seconds) out and bridge each with new frames (half a second)."""
        return self.run(
            clip,
            prompt,
            lambda brief: splicing.remove(brief, clip, spans, frames),
            **options,
        )

    def edit(
        self, clip: Clip, prompt: str, *, strength: int | float = EDIT, **options: Any
    ) -> Clip:
        """Keep motion and layout and change the content: less at 0, all at 1."""
        refuse_length(options)
        return self.run(
            clip,
            prompt,
            lambda brief: retouching.edit(brief, clip, strength),
            **options,
        )

    def inpaint(
        self,
        clip: Clip,
        mask: Float[np.ndarray, "t h w"],
        prompt: str = "",
        **options: Any,
    ) -> Clip:
        """Make anew what the mask does not know (0); keep the rest (1)."""
        refuse_length(options)
        return self.run(
            clip, prompt, lambda brief: retouching.inpaint(brief, clip, mask), **options
        )

    def outpaint(
        self, clip: Clip, prompt: str = "", *, size: Size, **options: Any
    ) -> Clip:
        """Make the surroundings of a clip, up to a size (height, width)."""
        refuse_length(options)
        return self.run(
            None,
            prompt,
            lambda brief: retouching.outpaint(brief, clip),
            size=size,
            **options,
        )

    def storyboard(
        self, stretches: Sequence[Stretch], *, frames: int, **options: Any
    ) -> Clip:
        """Make one video that follows a storyboard."""
        return self.run(
            None,
            "",
            lambda brief: story.storyboard(brief, stretches, frames),
            **options,
        )

    def upscale(
        self,
        clip: Clip | None = None,
        prompt: str = "",
        *,
        size: Size,
        strength: int | float = REFINE,
        **options: Any,
    ) -> Clip:
        """Refine a clip, or a draft from the prompt, at a size (height, width)."""

        def parts(brief: Brief) -> list[Part]:
            if clip is None:
                return retouching.upscale_draft(brief, strength)
            return retouching.upscale(brief, clip, strength)

        if clip is not None:
            refuse_length(options)
        return self.run(None, prompt, parts, size=size, **options)

    def reconstruct(
        self, pixels: Float[np.ndarray, "b t h w 3"]
    ) -> Float[np.ndarray, "b t h w 3"]:
        """Pass clips through the VAE."""
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
        if not isinstance(prompt, str):
            raise ValueError(f"prompt must be one text, got {prompt!r}")
        if clip is not None:
            settings = {"size": clip.shape[1:3], **settings}
        parts = task(self.brief(prompt, seed=seed, settings=settings))
        return np.concatenate(list(self.perform(parts, progress)), axis=1)[0]

    def perform(self, parts: Sequence[Part], progress: Progress) -> Iterator[Frames]:
        """Check parts, then make them and yield their frames in order."""
        check_parts(parts, self.config)
        if self.rewords:
            parts = reading.read(parts, self.config, self._tell)
        for line in unseen.find(parts, self.config, self.weights.tokenizer):
            self._tell(line)
        return self.weights.each(Player(self.weights, progress).perform(parts))

    def brief(
        self, prompts: str | Sequence[str], *, seed: int, settings: dict[str, Any]
    ) -> Brief:
        """What a task is told."""
        return Brief(
            model=self.config,
            prompts=(prompts,) if isinstance(prompts, str) else tuple(prompts),
            settings=self.config.sampling.asked(**settings),
            seed=seed,
        )


def tell(line: str) -> None:
    """Warn, on the first of several hosts."""
    if jax.process_index() == 0:
        _logger.warning(line)


def load(
    folder: PathLike = published.ASSETS,
    mesh: MeshConfig = SAMPLING_MESH,
    *,
    rewords: bool = True,
) -> Model:
    """Load a model; without a folder, the one that ships with the package.

    Args:
      folder: of weights, ours or Wan's.
      mesh: how devices share them, and each video.
      rewords: see `Model`.
    """
    return Model(folders.load(folder, mesh=mesh), rewords=rewords)


def refuse_length(options: dict[str, Any]) -> None:
    """Refuse a number of frames where the clip has one already."""
    if "frames" in options:
        raise ValueError(
            f"frames must be left out, got {options['frames']}: the clip says how long "
            "the video is"
        )

"""The playground: captioned videos of a small world whose physics we know.

An index goes in; a clip, its captions and its ground truth come out. The same index
gives the same sample on every machine, in any order.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float32

from sora_jax import types
from sora_jax.config import PlaygroundConfig
from sora_jax.worlds.playground import captions, chance, render, scenes, world

_CAPTIONS = 1  # their luck apart from the scene's, which has none of this number


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """A clip and all there is to know about it.

    Attributes:
      clip: the pixels, with the caption of the whole clip.
      captions: a caption for each stretch of time; together they say what the clip's
        caption says, and state the same facts.
      scene: what is where in every frame.
    """

    clip: types.Clip
    captions: tuple[captions.Caption, ...]
    scene: world.Scene


class Playground:
    """A random access source of samples, such as Grain reads from."""

    def __init__(self, config: PlaygroundConfig):
        """Keep the settings; nothing is made before it is asked for."""
        self.config = config

    def __len__(self) -> int:
        """Return the number of clips."""
        return self.config.length

    def __getitem__(self, index: int) -> Sample:
        """Make a clip with its captions and its ground truth."""
        scene = self.scene(index)
        parts, text = self._describe(scene, index)
        pixels = render.render(scene)
        clip = types.Clip(pixels=pixels, fps=scene.fps, caption=text)
        return Sample(clip=clip, captions=parts, scene=scene)

    def __repr__(self) -> str:
        """Describe the source, without its contents."""
        return f"Playground({self.config!r})"

    def scene(self, index: int, size: tuple[int, int] | None = None) -> world.Scene:
        """Return the ground truth without painting it.

        Args:
          index: which clip.
          size: (height, width) in pixels to stage it for, if not its own.
        """
        index = range(len(self))[index]  # counts from the end if negative
        return scenes.draw_scene(self.config, index, size)

    def captions(
        self, index: int, phrasing: int = 0
    ) -> tuple[tuple[captions.Caption, ...], str]:
        """Return a caption for each stretch, and one for the whole clip.

        Args:
          index: which clip.
          phrasing: which of its phrasings; a sample comes with phrasing 0.
        """
        return self._describe(self.scene(index), index, phrasing)

    def render(
        self, index: int, height: int, width: int
    ) -> Float32[np.ndarray, "t h w 3"]:
        """Paint a clip at any size."""
        return render.render(self.scene(index, (height, width)))

    def _describe(
        self, scene: world.Scene, index: int, phrasing: int = 0
    ) -> tuple[tuple[captions.Caption, ...], str]:
        split = scenes.SPLITS.index(self.config.split)
        seeds = (self.config.seed, split, index % len(self), _CAPTIONS + phrasing)
        rng = chance.generator(*seeds)
        parts = []
        for stretch in scene.stretches:
            detail = None
            if len(scene.stretches) > 1:  # two long captions would be too long
                brief = ("terse", "plain") if len(stretch.bodies) == 1 else ("terse",)
                detail = chance.choose(rng, brief)
            parts.append(captions.caption(stretch, rng, detail))
        has_turn = any(stretch.goes_on for stretch in scene.stretches)
        return tuple(parts), captions.joined(parts, rng, has_cut=not has_turn)

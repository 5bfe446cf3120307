"""The playground as a clip source (`data.sources.protocol`).

It also gives pixels before they are rounded to bytes, and several phrasings of
captions.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float32

from sora_jax import types
from sora_jax.config import PlaygroundConfig
from sora_jax.data.sources.protocol import (
    ClipSpec,
    Size,
    captions_between,
    frame_range,
)
from sora_jax.data.video import to_uint8
from sora_jax.worlds.playground import (
    captions,
    chance,
    phrasebook,
    render,
    scenes,
    world,
)

PHRASINGS = 4  # of every caption of a clip
_CAPTIONS = 1  # added to the seed: captions are drawn apart from the scene


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rendered:
    """A clip as it is rendered.

    Attributes:
      pixels: values in [-1, 1].
      fps: frames per second.
      caption: one phrasing of what the clip shows.
    """

    pixels: Float32[np.ndarray, "t h w 3"]
    fps: float
    caption: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class RenderedSample:
    """A rendered clip with its ground truth.

    Attributes:
      clip: the pixels, with the caption of the whole clip.
      captions: a caption for each stretch of time; together they say what the clip's
        caption says, and state the same facts.
      scene: what is where in every frame.
    """

    clip: Rendered
    captions: tuple[captions.StatedCaption, ...]
    scene: world.Scene


@dataclasses.dataclass(frozen=True, kw_only=True)
class Truth:
    """The ground truth of a clip.

    Attributes:
      scene: what is where in every frame.
      captions: a caption for each stretch of time, of the first phrasing, with the
        facts that it states.
    """

    scene: world.Scene
    captions: tuple[captions.StatedCaption, ...]


@dataclasses.dataclass(frozen=True)
class Playground:
    """The clips of a config: an index is the same clip on every machine."""

    config: PlaygroundConfig

    def __len__(self) -> int:
        """Return the number of clips."""
        return self.config.length

    def spec(self, index: int) -> ClipSpec:
        """Describe a clip; its truth is a `Truth`."""
        scene = self.scene(index)
        told = [self._describe(scene, index, each) for each in range(PHRASINGS)]
        whole = tuple(text for _, text in told)
        said = [types.Caption(texts=whole, start=0, stop=scene.frames)]
        if len(scene.stretches) > 1:
            said += [
                types.Caption(
                    texts=tuple(parts[number].text for parts, _ in told),
                    start=stretch.start,
                    stop=stretch.stop,
                )
                for number, stretch in enumerate(scene.stretches)
            ]
        return ClipSpec(
            frames=scene.frames,
            height=scene.height,
            width=scene.width,
            fps=scene.fps,
            captions=tuple(said),
            truth=Truth(scene=scene, captions=told[0][0]),
        )

    def read(
        self,
        index: int,
        start: int = 0,
        frames: int | None = None,
        size: Size | None = None,
    ) -> types.Clip:
        """Render a clip, or a part of it, at any size."""
        spec = self.spec(index)
        start, stop = frame_range(spec, start, frames)
        scene = spec.truth.scene if size is None else self.scene(index, size)
        return types.Clip(
            pixels=to_uint8(render.render(scene)[start:stop]),
            fps=spec.fps,
            captions=captions_between(spec.captions, start, stop),
        )

    def __getitem__(self, index: int) -> RenderedSample:
        """Return a clip with its ground truth, before it is rounded to bytes."""
        scene = self.scene(index)
        parts, text = self._describe(scene, index)
        clip = Rendered(pixels=render.render(scene), fps=scene.fps, caption=text)
        return RenderedSample(clip=clip, captions=parts, scene=scene)

    def scene(self, index: int, size: tuple[int, int] | None = None) -> world.Scene:
        """Return the ground truth without rendering it.

        Args:
          index: which clip.
          size: (height, width) in pixels to stage it for, if not its own.
        """
        index = range(len(self))[index]  # counts from the end if negative
        return scenes.draw_scene(self.config, index, size)

    def captions(
        self, index: int, phrasing: int = 0
    ) -> tuple[tuple[captions.StatedCaption, ...], str]:
        """Return a caption for each stretch, and one for the whole clip.

        Args:
          index: which clip.
          phrasing: which of its phrasings; a sample comes with phrasing 0.
        """
        return self._describe(self.scene(index), index, phrasing)

    def _describe(
        self, scene: world.Scene, index: int, phrasing: int = 0
    ) -> tuple[tuple[captions.StatedCaption, ...], str]:
        split = scenes.SPLITS.index(self.config.split)
        seeds = (self.config.seed, split, index % len(self), _CAPTIONS + phrasing)
        rng, book = chance.generator(*seeds), phrasebook.BOOKS[self.config.phrasing]
        parts = []
        for stretch in scene.stretches:
            detail = None
            if len(scene.stretches) > 1:  # two long captions would be too long
                brief = ("terse", "plain") if len(stretch.bodies) == 1 else ("terse",)
                detail = chance.choose(rng, brief)
            parts.append(captions.caption(stretch, rng, detail, book))
        has_turn = any(stretch.goes_on for stretch in scene.stretches)
        text = captions.joined(parts, rng, has_cut=not has_turn, book=book)
        return tuple(parts), text

"""Refine the draft of a command at a larger size: `sample.py --refine`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from etils import epath

from sora_jax import sharding
from sora_jax.config import ModelConfig, SamplingConfig, resolve_dtypes
from sora_jax.limits import Limits
from sora_jax.sampling.checks import CheckedFlags
from sora_jax.sampling.feasibility import check_segments
from sora_jax.sampling.media import MediaFiles
from sora_jax.sampling.segments import (
    Clip,
    Sampled,
    Segment,
    map_requests,
    with_prompts,
)
from sora_jax.sampling.tasks import Upscale
from sora_jax.sampling.tasks.context import TaskContext
from sora_jax.sampling.tile_choice import choose_tile
from sora_jax.sampling.windows import Frames


@dataclasses.dataclass(frozen=True, kw_only=True)
class Refinement:
    """How drafts are refined: as `upscale` does, with the prompts of each draft.

    Attributes:
      model: config of the model.
      settings: of the refined video, with its frames, size and rate.
      fps: frame rate of the drafts.
      strength: from 0 (no change) to 1 (the draft is ignored).
      limits: of the request.
    """

    model: ModelConfig
    settings: SamplingConfig
    fps: int | float
    strength: int | float = Upscale.strength
    limits: Limits

    def segments(self, draft: Sequence[Segment], clip: Clip) -> list[Segment]:
        """Build the segments that refine a draft.

        Args:
          draft: its segments, with their prompts.
          clip: its frames.

        Raises:
          ValueError: names the setting that is wrong, its value and the remedy.
        """
        media = MediaFiles(settings=self.settings, limits=self.limits)
        context = TaskContext(
            model=self.model, settings=self.settings, media=media, limits=self.limits
        )
        task = Upscale(video=clip, video_fps=self.fps, strength=self.strength)
        rate = self.settings.fps / self.fps
        story = tuple((round(rate * at), text) for at, text in story_of(draft))
        return map_requests(
            task.segments(context), lambda r: dataclasses.replace(r, story=story)
        )

    @property
    def record(self) -> dict[str, Any]:
        """What a refined video's sidecar says beside, or other than, its draft's."""
        return {
            **dataclasses.asdict(self.settings),
            "refine_tile": choose_tile(self.settings, self.model),
            "refine_strength": self.strength,
        }

    @property
    def summary(self) -> str:
        """What is printed of it before any work."""
        size, tile = self.settings.size, choose_tile(self.settings, self.model)
        return (
            f"; then {self.settings.frames} frames of {size[1]}x{size[0]} at "
            f"{self.settings.fps:g} fps, refined with strength {self.strength:g}"
            + ("" if tile is None else f" in tiles of {tile[1]}x{tile[0]}")
        )

    def beside(self, path: str) -> str:
        """Return the path of a refined video, by that of its draft."""
        (height, width), draft = self.settings.size, epath.Path(path)
        return str(draft.with_name(f"{draft.stem}-{width}x{height}{draft.suffix}"))


def plan_refinement(
    asked: CheckedFlags,
    settings: SamplingConfig,
    model: ModelConfig,
    draft: Sequence[Segment],
    shown: tuple[int, tuple[int, int]],
) -> Refinement:
    """Return how drafts are refined.

    Args:
      asked: the flags.
      settings: of the draft.
      model: config of the model.
      draft: its segments, with the prompts of the first video.
      shown: its frames, and their (height, width).

    Raises:
      ValueError: names each setting that is wrong, its value and the remedy.
    """
    assert asked.refine is not None
    arguments, strength = asked.arguments, asked.arguments.refine_strength
    fps = settings.fps if arguments.refine_fps is None else arguments.refine_fps
    # What is known of steps to skip is known of whole frames.
    changed = dataclasses.replace(settings, fps=fps, size=asked.refine, cache="none")
    refinement = Refinement(
        model=model,
        settings=changed,
        fps=settings.fps,
        strength=Upscale.strength if strength is None else strength,
        limits=arguments.limits,
    )
    grey = np.broadcast_to(np.float32(0), (shown[0], *shown[1], 3))
    segments = with_prompts(refinement.segments(draft, grey), asked.prompts[:1], 0)
    resolved = resolve_dtypes(model, sharding.SINGLE_DEVICE.platform)
    frames, _ = check_segments(segments, resolved, arguments.limits)
    changed = dataclasses.replace(changed, frames=frames)
    return dataclasses.replace(refinement, settings=changed)


def story_of(segments: Sequence[Segment]) -> Iterator[tuple[int, str]]:
    """Yield (frame, prompt) of the stretches of time of a whole video."""
    shown = 0
    for segment in segments:
        if isinstance(segment, Sampled):
            for at, text in segment.request.story:
                yield max(shown, shown + at - segment.start), text
            shown += segment.stop - segment.start
        elif isinstance(segment, np.ndarray):
            shown += len(segment)


def keep(chunks: Iterator[Frames], kept: list[Frames]) -> Iterator[Frames]:
    """Yield chunks of frames, and keep them."""
    for chunk in chunks:
        kept.append(chunk)
        yield chunk

"""What is measured: a model that offers every operation, and what it is asked to do.

A task draws clips of the world and makes a case of each: what to ask for, what is known
of the answer, and how to look at it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32

from sora_jax.evals.findings import Finding
from sora_jax.sampling.tasks.keyframes import Keyframe
from sora_jax.sampling.tasks.story import Stretch
from sora_jax.worlds.playground.source import Sample

Clip: TypeAlias = Float32[np.ndarray, "t h w 3"]
Direction = Literal["forward", "backward", "both"]
Span = tuple[int | float, int | float]


@runtime_checkable  # since the tests check types at run time
class Model(Protocol):
    """What is measured. Clips are `[t h w 3]` in [-1, 1]; see `sampling.model`."""

    def generate(self, prompts: list[str], **options: Any) -> np.ndarray:
        """Make a video for each prompt: `[b t h w 3]`."""
        ...

    def animate(
        self, images: np.ndarray | Sequence[Keyframe], prompt: str, **options: Any
    ) -> np.ndarray:
        """Make a video that goes through pictures."""
        ...

    def extend(
        self,
        clip: np.ndarray,
        prompt: str,
        *,
        frames: int,
        direction: Direction = "forward",
        **options: Any,
    ) -> np.ndarray:
        """Continue a clip."""
        ...

    def loop(
        self, clip: np.ndarray | None, prompt: str, *, frames: int, **options: Any
    ) -> np.ndarray:
        """Make a video whose last frame flows into its first."""
        ...

    def connect(
        self,
        first: np.ndarray,
        second: np.ndarray,
        prompt: str,
        *,
        frames: int,
        **options: Any,
    ) -> np.ndarray:
        """Show two clips with a transition between them."""
        ...

    def insert(
        self, clip: np.ndarray, prompt: str, *, spans: Sequence[Span], **options: Any
    ) -> np.ndarray:
        """Insert scenes."""
        ...

    def remove(
        self, clip: np.ndarray, prompt: str, *, spans: Sequence[Span], **options: Any
    ) -> np.ndarray:
        """Take spans out and bridge them."""
        ...

    def edit(
        self, clip: np.ndarray, prompt: str, *, strength: float, **options: Any
    ) -> np.ndarray:
        """Change the content, and keep motion and layout."""
        ...

    def inpaint(
        self, clip: np.ndarray, mask: np.ndarray, prompt: str, **options: Any
    ) -> np.ndarray:
        """Make anew what the mask does not know."""
        ...

    def outpaint(
        self, clip: np.ndarray, prompt: str, *, size: tuple[int, int], **options: Any
    ) -> np.ndarray:
        """Make the surroundings of a clip."""
        ...

    def storyboard(
        self, stretches: Sequence[Stretch], *, frames: int, **options: Any
    ) -> np.ndarray:
        """Make a video that follows a storyboard."""
        ...

    def upscale(
        self, clip: np.ndarray, prompt: str, *, size: tuple[int, int], **options: Any
    ) -> np.ndarray:
        """Refine a clip at another size."""
        ...

    def reconstruct(self, pixels: np.ndarray) -> np.ndarray:
        """Encode and decode `[b t h w 3]`."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One clip that an operation is tried on.

    Attributes:
      index: of the clip in the test split.
      prompt: what the model is told.
      make: asks a model, with settings such as `seed`, for the video; None where
        `generate` makes it from the prompt alone.
      look: reads a video.
      truth: the world's own video, where the world has one.
      known: pixels of the video that are given.
      idle: what is there if nothing is made.
    """

    index: int
    prompt: str
    make: Callable[..., np.ndarray] | None
    look: Callable[[np.ndarray], list[Finding]]
    truth: Clip | None
    known: Bool[np.ndarray, "t h w"]
    idle: Clip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """An operation, and what it is tried on.

    Attributes:
      clips: finds them in the test split of a seed: (index, sample).
      build: makes a case of one.
      every: one case is tried of so many that are asked for, where each takes long.
      generates: what `generate` is asked for, where it makes the videos.
    """

    clips: Callable[[int], Iterator[tuple[int, Sample]]]
    build: Callable[[int, Sample], Case]
    every: int = 1
    generates: dict[str, Any] | None = None


def idle(pixels: Clip, known: Bool[np.ndarray, "t h w"]) -> Clip:
    """Let known pixels stand still until the next ones; grey where none ever are."""
    frames = np.arange(len(known))[:, None, None]
    last = np.maximum.accumulate(np.where(known, frames, -1))
    shown = np.where(last < 0, np.argmax(known, axis=0), last)
    held = np.take_along_axis(pixels, shown[..., None], axis=0)
    return held * np.any(known, axis=0, keepdims=True)[..., None]

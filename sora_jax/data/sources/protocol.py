"""`ClipSource`, the protocol of clips for encoding, VAE training and the judge."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool

from sora_jax.types import Caption, Clip

Size = tuple[int, int]  # (height, width) in pixels


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipSpec:
    """Metadata of a clip, available without decoding or rendering it.

    Attributes:
      frames: number of frames.
      height: rows of pixels.
      width: columns of pixels.
      fps: frames per second.
      captions: as those of `types.Clip`.
      scores: measures of its quality, by name.
      has_alpha: whether its pixels have a fourth channel.
      has_sound: whether it has sound.
      truth: ground truth of a simulated world; None otherwise.
    """

    frames: int
    height: int
    width: int
    fps: float
    captions: tuple[Caption, ...] = ()
    scores: Mapping[str, float] = dataclasses.field(default_factory=dict)
    has_alpha: bool = False
    has_sound: bool = False
    truth: Any = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(frames, height, width)."""
        return self.frames, self.height, self.width


@runtime_checkable  # for the type checks of the tests
class ClipSource(Protocol):
    """Random access to clips.

    A source is picklable, and an index is the same clip on every host, in any order.
    """

    def __len__(self) -> int:
        """Return the number of clips."""
        ...

    def spec(self, index: int) -> ClipSpec:
        """Describe a clip without decoding or rendering it."""
        ...

    def read(
        self,
        index: int,
        start: int = 0,
        frames: int | None = None,
        size: Size | None = None,
    ) -> Clip:
        """Return a clip, or a part of it.

        Args:
          index: which clip.
          start: first frame of the part.
          frames: how many frames; None reads to the end.
          size: (height, width), if not the clip's own.

        Raises:
          ValueError: the clip has no such frames, or cannot be read.
        """
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sources:
    """The clips of a run.

    Attributes:
      train: training clips.
      held_out: evaluation clips.
      subjects: mask of the pixels that show a clip's subject, where crops are taken;
        it is None, or returns None, if they are unknown.
      digest: hash of stored clips; "" for those that a config alone determines.
    """

    train: ClipSource
    held_out: ClipSource
    subjects: Callable[[ClipSpec], Bool[np.ndarray, "t h w"] | None] | None = None
    digest: str = ""


def frame_range(spec: ClipSpec, start: int, frames: int | None) -> tuple[int, int]:
    """Return (start, stop) of a part of a clip.

    Raises:
      ValueError: the clip does not have these frames.
    """
    stop = spec.frames if frames is None else start + frames
    if not 0 <= start < stop <= spec.frames:
        raise ValueError(
            f"start and frames must be within the {spec.frames} frames of the clip, "
            f"got start {start} and frames {frames}"
        )
    return start, stop


def captions_between(
    captions: Sequence[Caption], start: int, stop: int
) -> tuple[Caption, ...]:
    """Return the captions of a part of a clip, counted from its first frame."""
    return tuple(
        dataclasses.replace(
            caption,
            start=max(caption.start, start) - start,
            stop=min(caption.stop, stop) - start,
        )
        for caption in captions
        if caption.start < stop and start < caption.stop
    )

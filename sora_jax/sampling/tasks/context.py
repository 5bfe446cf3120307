"""What every task is told, and the checks and conditions that several share."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from sora_jax import host_memory
from sora_jax.condition import Condition
from sora_jax.config import ModelConfig, SamplingConfig
from sora_jax.diffusion import conditioning
from sora_jax.limits import UNLIMITED, Limits
from sora_jax.sampling.limit_checks import too_many
from sora_jax.sampling.request import Request
from sora_jax.sampling.segments import Clip

FLOAT = 4  # bytes


@runtime_checkable  # since the tests check types at run time
class MediaReader(Protocol):
    """What brings a task's files to the size and frame rate of the video.

    Arrays are returned as they are.
    """

    def video(self, video: Any) -> Clip:
        """A clip: a file's path, or frames."""
        ...

    def enlarged(self, video: Any) -> Clip:
        """A clip brought to the size of the video, which is larger."""
        ...

    def picture(self, picture: Any, field: str) -> Clip:
        """One frame: a file's path, or a frame."""
        ...

    def masked_video(
        self, video: Any, mask: Any
    ) -> tuple[Clip, Float[np.ndarray, "t h w"]]:
        """A clip and its mask, 1 where it is repainted: paths, or arrays."""
        ...

    def noise(self, noise: Any) -> np.ndarray | None:
        """Latents to begin from, `[b t h w z]`: a file's path, or an array."""
        ...

    def storyboard(self, path: Any) -> tuple[Any, float]:
        """The shots of a storyboard's file, and its length in seconds."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskContext:
    """What every task is told.

    Attributes:
      model: that will do it.
      settings: shape, solver and guidance.
      media: reads the files that the task's arguments name.
      limits: what may be asked for.
    """

    model: ModelConfig
    settings: SamplingConfig
    media: MediaReader
    limits: Limits = UNLIMITED

    def request(self, frames: int, **given: Any) -> Request:
        """A request for so many frames; `given` are other fields of it."""
        settings = dataclasses.replace(self.settings, frames=frames)
        return Request(settings=settings, **given)

    def grey(self, frames: int, size: tuple[int, int]) -> Clip:
        """Grey frames of (height, width), to be painted on.

        Raises:
          ValueError: the memory does not hold them.
        """
        check_memory(frames, size, self.limits)
        return np.zeros((frames, *size, 3), np.float32)

    def whole(self, frames: int) -> int:
        """The least number of frames, of at least so many, that the VAE divides."""
        factor = self.model.vae.time_factor
        return 1 + -(-(frames - 1) // factor) * factor

    def resized(self, size: tuple[int, int]) -> TaskContext:
        """The same for frames of another size (height, width)."""
        settings = dataclasses.replace(self.settings, size=size)
        return dataclasses.replace(self, settings=settings)

    @property
    def window(self) -> int:
        """Frames that are sampled at once."""
        return self.settings.window or self.model.sampling.frames

    @property
    def overlap(self) -> int:
        """Frames of a clip that a window begins with, so that some are left to make."""
        return max(1, min(self.settings.context, self.window - 1))


def given_frames(pixels: Clip, frames: list[int]) -> Condition:
    """The condition in which some whole frames are given."""
    count, height, width, _ = pixels.shape
    mask = conditioning.given_frames_mask(count, height, width, frames)
    return conditioning.grey_out(pixels, mask)


def check_memory(
    frames: int, size: tuple[int, int], limits: Limits, copies: int = 1
) -> None:
    """Refuse pixels that the host's memory cannot hold.

    Args:
      frames: how many.
      size: (height, width) of each.
      limits: which share of the memory they may take.
      copies: of the pixels.

    Raises:
      ValueError: they do not fit.
    """
    needed = copies * frames * math.prod(size) * 3 * FLOAT
    room = host_memory.available() * limits.memory
    if needed > room:
        raise ValueError(
            f"frames: {frames:,} of {size[1]}x{size[0]} take "
            f"{host_memory.gib(needed)} of memory, and there are "
            f"{host_memory.gib(room)}: make fewer or smaller ones, or lift the limits "
            "(--unlimited, or limits=UNLIMITED)"
        )


def check_clips(*clips: Clip) -> None:
    """Refuse clips of no frame, or of several sizes.

    Raises:
      ValueError: says what each must be.
    """
    for clip in clips:
        if clip.ndim != 4 or clip.shape[-1] != 3 or not len(clip):
            raise ValueError(
                "video must be [t h w 3] with a frame or more, got an array of shape "
                f"{clip.shape}"
            )
    sizes = sorted({f"{clip.shape[2]}x{clip.shape[1]}" for clip in clips})
    if len(sizes) > 1:
        raise ValueError(f"clips must be of one size, got {' and '.join(sizes)}")


def check_new_frames(context: TaskContext, frames: int) -> None:
    """Refuse a number of new frames that is none, or more than may be asked for."""
    if frames < 1:
        raise ValueError(f"frames must be >= 1 new frame, got {frames}")
    if frames > context.limits.frames:
        raise ValueError(too_many("frames", "", frames, context.limits.frames))
    # New frames stand beside given ones.
    check_memory(frames, context.settings.size, context.limits)


def check_count(context: TaskContext, name: str, count: int) -> None:
    """Refuse more keyframes, spans or shots than may be asked for."""
    if count > context.limits.items:
        raise ValueError(too_many(name, "", count, context.limits.items))

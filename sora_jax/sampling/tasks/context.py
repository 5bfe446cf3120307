"""`TaskContext`, which every task gets, and checks that several tasks share."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from sora_jax import host_memory
from sora_jax.condition import Condition
from sora_jax.config import ModelConfig, SamplingConfig
from sora_jax.data.storyboard import StoryboardFile
from sora_jax.diffusion import conditioning
from sora_jax.limits import UNLIMITED, Limits
from sora_jax.sampling.limit_checks import too_many
from sora_jax.sampling.request import Request
from sora_jax.sampling.segments import Clip

FLOAT = 4  # bytes


@runtime_checkable  # the tests check types at run time
class MediaReader(Protocol):
    """Reads a task's files at the size and frame rate of the video.

    Arrays pass unchanged.
    """

    def video(self, video: Any, field: str = "video") -> Clip:
        """Read a clip: a path, or frames."""
        ...

    def enlarged(self, video: Any) -> Clip:
        """Read a clip and enlarge it to the size of the video."""
        ...

    def picture(self, picture: Any, field: str) -> Clip:
        """Read one frame: a path, or an array."""
        ...

    def original(self, picture: Any, field: str) -> Float[np.ndarray, "h w 3"]:
        """Read a picture as it is, not resized: a path, or an array."""
        ...

    def masked_video(
        self, video: Any, mask: Any
    ) -> tuple[Clip, Float[np.ndarray, "t h w"]]:
        """Read a clip and its mask (1: repaint): paths, or arrays."""
        ...

    def noise(self, noise: Any) -> np.ndarray | None:
        """Read initial latents `[b t h w z]`: a path, or an array."""
        ...

    def storyboard(self, given: Any) -> StoryboardFile:
        """Read a storyboard, unless it was read before."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskContext:
    """Model, settings, files and limits: what a task needs to build segments.

    Attributes:
      model: config of the model.
      settings: shape, solver and guidance.
      media: reads the files named by the task's arguments.
      limits: of the request.
    """

    model: ModelConfig
    settings: SamplingConfig
    media: MediaReader
    limits: Limits = UNLIMITED

    def request(self, frames: int, **given: Any) -> Request:
        """Build a request for a number of frames; `given` sets its other fields."""
        settings = dataclasses.replace(self.settings, frames=frames)
        return Request(settings=settings, **given)

    def grey(self, frames: int, size: tuple[int, int]) -> Clip:
        """Return grey frames of (height, width).

        Raises:
          ValueError: they do not fit into the host's memory.
        """
        check_memory(frames, size, self.limits)
        return np.zeros((frames, *size, 3), np.float32)

    def whole(self, frames: int) -> int:
        """Round frames up to a length 1 + r k that the VAE supports."""
        factor = self.model.vae.time_factor
        return 1 + -(-(frames - 1) // factor) * factor

    def resized(self, size: tuple[int, int]) -> TaskContext:
        """Return the same context for another size (height, width)."""
        settings = dataclasses.replace(self.settings, size=size)
        return dataclasses.replace(self, settings=settings)

    @property
    def window(self) -> int:
        """Return the frames sampled at once."""
        return self.settings.window or self.model.sampling.frames

    @property
    def overlap(self) -> int:
        """Return how many frames of a clip a window is conditioned on."""
        return max(1, min(self.settings.context, self.window - 1))

    def beginning(self, frames: int) -> int:
        """Return how many of a clip's last frames are given to what follows it.

        They are whole latents and, of a causal model, whole blocks.

        Raises:
          ValueError: the clip is shorter than a block.
        """
        factor, causal = self.model.vae.time_factor, self.model.causal
        if causal is None:
            return 1 + (min(frames, self.overlap) - 1) // factor * factor
        most = 1 + (min(frames, self.settings.context) - 1) // factor
        if given := causal.given(most):
            return 1 + (given - 1) * factor
        least = 1 + (causal.spans(1)[0][1] - 1) * factor
        raise ValueError(
            f"video must have at least {least} frames, which the causal model "
            f"{self.model.name} is given at once, got {frames} and context "
            f"{self.settings.context}: give a longer one, or raise context"
        )


def given_frames(pixels: Clip, frames: list[int]) -> Condition:
    """Return the condition that gives whole frames."""
    count, height, width, _ = pixels.shape
    mask = conditioning.given_frames_mask(count, height, width, frames)
    return conditioning.grey_out(pixels, mask)


def check_memory(
    frames: int, size: tuple[int, int], limits: Limits, copies: int = 1
) -> None:
    """Check that frames fit into the host's memory.

    Args:
      frames: number of frames.
      size: (height, width) of each.
      limits: the share of the memory they may take.
      copies: how often the pixels are held.

    Raises:
      ValueError: they do not fit.
    """
    needed = copies * frames * math.prod(size) * 3 * FLOAT
    room = host_memory.available() * limits.memory
    if needed > room:
        raise ValueError(
            f"frames: {frames:,} of {size[1]}x{size[0]} need "
            f"{host_memory.gib(needed)} of memory, and there are "
            f"{host_memory.gib(room)}: make fewer or smaller ones, or lift the limits "
            "(--unlimited, or limits=UNLIMITED)"
        )


def check_clips(*clips: Clip) -> None:
    """Check that clips have frames, all of one size.

    Raises:
      ValueError: a clip is empty, or sizes differ.
    """
    for clip in clips:
        if clip.ndim != 4 or clip.shape[-1] != 3 or not len(clip):
            raise ValueError(
                "video must be [t h w 3] with at least one frame, got an array of "
                f"shape {clip.shape}"
            )
    sizes = sorted({f"{clip.shape[2]}x{clip.shape[1]}" for clip in clips})
    if len(sizes) > 1:
        raise ValueError(f"clips must be of one size, got {' and '.join(sizes)}")


def check_new_frames(context: TaskContext, frames: int) -> None:
    """Check a number of new frames: at least 1, and within the limits."""
    if frames < 1:
        raise ValueError(f"frames must be >= 1 new frame, got {frames}")
    if frames > context.limits.frames:
        raise ValueError(too_many("frames", "", frames, context.limits.frames))
    # Given frames count too.
    check_memory(frames, context.settings.size, context.limits)


def check_count(context: TaskContext, name: str, count: int) -> None:
    """Check the number of keyframes, spans or shots against the limits."""
    if count > context.limits.items:
        raise ValueError(too_many(name, "", count, context.limits.items))

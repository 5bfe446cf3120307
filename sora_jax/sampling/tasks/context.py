"""What every task is told, and the condition of known frames."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from sora_jax.config import ModelConfig, SamplingConfig
from sora_jax.diffusion import conditioning
from sora_jax.limits import UNLIMITED, Limits
from sora_jax.sampling.limit_checks import too_many
from sora_jax.sampling.footprint import hold
from sora_jax.sampling.segments import Clip
from sora_jax.sampling.request import Request
from sora_jax.types import Condition


@dataclasses.dataclass(frozen=True, kw_only=True)
class Brief:
    """What every task is told.

    Attributes:
      model: that will do it.
      prompts: what is shown, for each video.
      settings: shape, solver and guidance; `frames` is the task's to fill in.
      seed: of the noise.
      noise: latents to begin from, in the place of those that the seed gives.
      limits: what may be asked for.
    """

    model: ModelConfig
    prompts: tuple[str, ...]
    settings: SamplingConfig
    seed: int = 0
    noise: np.ndarray | None = None
    limits: Limits = UNLIMITED

    def request(self, frames: int, **known: Any) -> Request:
        """A request for so many frames."""
        return Request(
            prompts=self.prompts,
            settings=dataclasses.replace(self.settings, frames=frames),
            seed=self.seed,
            noise=self.noise,
            **known,
        )

    def grey(self, frames: int, size: tuple[int, int]) -> Clip:
        """Frames of (height, width) of which nothing is known.

        Raises:
          ValueError: the memory does not hold them.
        """
        hold(frames, size, self.limits)
        return np.zeros((frames, *size, 3), np.float32)

    def whole(self, frames: int) -> int:
        """The least number of frames, of at least so many, that the VAE divides."""
        factor = self.model.vae.time_factor
        return 1 + -(-(frames - 1) // factor) * factor

    def sized(self, size: tuple[int, int]) -> Brief:
        """The same for frames of another size (height, width)."""
        settings = dataclasses.replace(self.settings, size=size)
        return dataclasses.replace(self, settings=settings)

    @property
    def window(self) -> int:
        """Frames that are made at once."""
        return self.settings.window or self.model.sampling.frames

    @property
    def context(self) -> int:
        """Frames that a window sees of a clip, so that something is left to make."""
        return max(1, min(self.settings.context, self.window - 1))


def known_frames(pixels: Clip, known: list[int]) -> Condition:
    """The condition of whole frames that are known."""
    frames, height, width, _ = pixels.shape
    mask = conditioning.frames_known(frames, height, width, known)
    return conditioning.hide(pixels, mask)


def check_clips(*clips: Clip) -> None:
    """Refuse what are no clips of one size.

    Raises:
      ValueError: says what each must be.
    """
    for clip in clips:
        if clip.ndim != 4 or clip.shape[-1] != 3 or not len(clip):
            raise ValueError(
                "clip must be [t h w 3] with a frame or more, got an array of shape "
                f"{clip.shape}"
            )
        if clip.dtype.kind != "f" or not -1.001 <= clip.min() <= clip.max() <= 1.001:
            raise ValueError(
                f"clip must hold floats in [-1, 1], got {clip.dtype} from "
                f"{clip.min():g} to {clip.max():g}: see sora_jax.data.video.to_float"
            )
    sizes = sorted({f"{clip.shape[2]}x{clip.shape[1]}" for clip in clips})
    if len(sizes) > 1:
        raise ValueError(f"clips must be of one size, got {' and '.join(sizes)}")


def check_new(brief: Brief, frames: int) -> None:
    """Refuse a number of new frames that is none, or more than may be asked for."""
    if frames < 1:
        raise ValueError(f"frames must be >= 1 new frame, got {frames}")
    if frames > brief.limits.frames:
        raise ValueError(too_many("frames", "", frames, brief.limits.frames))
    # New frames stand beside known ones.
    hold(frames, brief.settings.size, brief.limits)


def check_count(brief: Brief, name: str, count: int) -> None:
    """Refuse more keyframes, spans or shots than may be asked for."""
    if count > brief.limits.items:
        raise ValueError(too_many(name, "", count, brief.limits.items))

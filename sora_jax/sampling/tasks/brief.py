"""What every task is told, and the condition of known frames."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from sora_jax.config import ModelConfig, SamplingConfig
from sora_jax.diffusion import conditioning
from sora_jax.sampling.parts import Clip
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
    """

    model: ModelConfig
    prompts: tuple[str, ...]
    settings: SamplingConfig
    seed: int = 0
    noise: np.ndarray | None = None

    def request(self, frames: int, **known: Any) -> Request:
        """A request for so many frames."""
        return Request(
            prompts=self.prompts,
            settings=dataclasses.replace(self.settings, frames=frames),
            seed=self.seed,
            noise=self.noise,
            **known,
        )

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


def known_frames(pixels: Clip, known: list[int]) -> Condition:
    """The condition of whole frames that are known."""
    frames, height, width, _ = pixels.shape
    mask = conditioning.frames_known(frames, height, width, known)
    return conditioning.hide(pixels, mask)

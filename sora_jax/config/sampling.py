"""How videos are made."""

from __future__ import annotations

import dataclasses
from typing import Literal

from sora_jax.config.plain import require


@dataclasses.dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """How a model makes videos when nothing else is asked for."""

    solver: Literal["euler", "heun", "unipc"] = "unipc"
    steps: int = 20
    # Classifier-free guidance; 1 switches it off.
    guidance: float = 4.0
    # Moves the noise levels towards noise (see diffusion.flow.shifted).
    shift: float = 2.0
    frames: int = 17
    # (height, width) in pixels.
    size: tuple[int, int] = (64, 64)
    fps: float = 8.0
    negative_prompt: str = ""

    def __post_init__(self):
        require(self.steps >= 1, f"steps must be at least 1, got {self.steps}")
        require(self.shift > 0, f"shift must be > 0, got {self.shift}")

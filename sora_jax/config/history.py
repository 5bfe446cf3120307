"""Models that make a video chunk by chunk, each from the latents before it (Helios)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from sora_jax.config.plain import require_within

# The patch embeddings of a history, in the order of its tokens: how many of the
# transformer's patches one of theirs covers along each axis.
SCALES: Mapping[str, int] = MappingProxyType({"long": 4, "mid": 2, "short": 1})


@dataclasses.dataclass(frozen=True, kw_only=True)
class HistoryConfig:
    """How a transformer reads the latents before a chunk, as tokens."""

    # Whether these tokens are at level 0, however noisy the chunk is.
    is_clean: bool = True
    # Whether they attend to the text.
    reads_text: bool = False
    # Learned scales of their keys: none, one for all heads, or one for each.
    key_scale: Literal["none", "scalar", "per_head"] = "none"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChunksConfig:
    """How a model makes a video chunk by chunk (Helios, arXiv 2603.04379)."""

    # Latent frames of a chunk.
    frames: int = 9
    # Latent frames before it in the largest patches, the farthest in time.
    long: int = 16
    # Latent frames in patches twice as large as the transformer's.
    mid: int = 2
    # The nearest latent frames, in patches as large as the transformer's.
    short: int = 1
    # Whether the first latent frame of the video always comes before them.
    keeps_first: bool = True
    # (least, most) noise level at which given latents begin a history.
    noise: tuple[float, float] = (0.111, 0.135)
    # Resolutions at which a chunk is denoised one after another, each twice as fine.
    stages: int = 1
    # How far the noise that is added between stages is correlated in each patch.
    gamma: float = 1 / 3
    # Whether the shift of the noise levels grows with the tokens of a stage, as
    # itself or as an exponential; it then multiplies `SamplingConfig.shift`.
    grows: Literal["no", "linear", "exponential"] = "no"
    # Whether the first chunk takes twice the steps.
    doubles_first: bool = False
    # CFG-Zero*: guidance from the projected unconditional velocity, and none in the
    # first two steps (arXiv 2503.18886).
    zero_star: bool = False

    def __post_init__(self):
        least = (1, math.inf)
        low, high = self.noise
        require_within(
            "chunks.",
            self,
            dict.fromkeys(("frames", "long", "mid", "short"), least)
            | {"stages": (1, 8)},
            (
                0 <= low <= high < 1,
                f"chunks.noise must be (least, most) from 0 to below 1, got "
                f"{self.noise}",
            ),
            (
                0 < self.gamma <= 1 / 3,
                f"chunks.gamma must be above 0 and at most 1/3, got {self.gamma}",
            ),
        )

    @property
    def history(self) -> int:
        """Latent frames before a chunk that it is made from, without the first."""
        return self.long + self.mid + self.short

    def pixel_frames(self, time_factor: int) -> int:
        """Return the frames of a chunk; each is decoded by itself."""
        return 1 + (self.frames - 1) * time_factor

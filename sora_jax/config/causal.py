"""How a causal transformer makes a video."""

from __future__ import annotations

import dataclasses

from sora_jax import limits
from sora_jax.config.plain import require_within


@dataclasses.dataclass(frozen=True, kw_only=True)
class CausalConfig:
    """A causal transformer makes blocks of time in turn, and none sees a later one.

    A finished block is kept as keys and values of its clean tokens (Self-Forcing, arXiv
    2506.08009, algorithm 2).
    """

    # Latent frames of a block, which are made together.
    block: int = 3
    # Latent frames that a block sees, its own included: the latest, and the sink.
    window: int = 21
    # Of these, the first of the video, which stay in view (arXiv 2309.17453).
    sink: int = 0
    # Whether the first latent, a single frame of pixels, is a block alone.
    first_alone: bool = False
    # Whether the beginning of a block may be given and its rest be made.
    part_given: bool = False

    def __post_init__(self):
        require_within(
            "causal.",
            self,
            {
                "block": (1, limits.LATENTS),
                "window": (1, limits.LATENTS),
                "sink": (0, limits.LATENTS),
            },
            (
                self.window > self.block + self.sink,
                "causal.window must be more than causal.block and causal.sink together "
                f"({self.block} + {self.sink}), got {self.window}",
            ),
        )

    def spans(self, frames: int) -> list[tuple[int, int]]:
        """Return (start, stop) of the blocks of a video, the last of which is whole.

        Args:
          frames: latent frames, which the blocks hold and perhaps a few more.
        """
        first = 1 if self.first_alone else self.block
        starts = [0, *range(first, frames, self.block)]
        return [(start, start + (self.block if start else first)) for start in starts]

    def given(self, frames: int) -> int:
        """Return how many of the first latent frames may be given, at most `frames`."""
        if self.part_given:
            return frames
        return max(
            (stop for _, stop in self.spans(frames) if stop <= frames), default=0
        )

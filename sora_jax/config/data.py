"""Configs of the playground's clips and of packing."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar, Literal

from sora_jax.config.plain import FPS, require_within

# Kinds of clips: one object, two, two that collide, one that passes behind a wall, two
# scenes with a cut, or one object with two motions without a cut.
KINDS = ("one", "two", "collide", "behind", "cut", "turn")
WIDEST = 16 / 9  # a big square that spins in a zoom fits just so


def _aspect(size: tuple[int, int]) -> float:
    return max(size) / min(size)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlaygroundConfig:
    """The captioned clips of the playground."""

    # Clips of one seed and split are the same on every machine.
    seed: int = 0
    # "test" shows combinations of colour, shape and motion that "train" never does.
    split: Literal["train", "test"] = "train"
    # Number of clips; they are rendered on demand, so any number is free.
    length: int = 1_000_000
    # Frames per second.
    fps: float = 8.0
    # Frames in a latent frame of the VAE: lengths are 1 + time_factor * k, and a cut
    # comes where a latent frame begins.
    time_factor: int = 4
    # (frames, weight): how often each length is drawn.
    frames: tuple[tuple[int, float], ...] = (
        (1, 0.15),
        (9, 0.2),
        (17, 0.4),
        (33, 0.2),
        (65, 0.05),
    )
    # ((height, width), weight): how often each size in pixels is drawn.
    sizes: tuple[tuple[tuple[int, int], float], ...] = (
        ((64, 64), 0.6),
        ((48, 80), 0.25),
        ((80, 48), 0.15),
    )
    # (kind, weight), of `KINDS`. Where a clip is too short, a simpler kind is made.
    kinds: tuple[tuple[str, float], ...] = (
        ("one", 0.55),
        ("two", 0.17),
        ("collide", 0.08),
        ("behind", 0.08),
        ("cut", 0.12),
    )

    # Words of the captions: "plain", "rich" in phrasings, or phrasings that runs refuse
    # to train on ("held_out").
    phrasing: Literal["plain", "rich", "held_out"] = "plain"

    _drawn: ClassVar = ("frames", "sizes", "kinds")

    def __post_init__(self):
        bounds = {"length": (1, math.inf), "seed": (0, math.inf), "fps": FPS}
        bounds["time_factor"] = (1, math.inf)
        factor = max(1, self.time_factor)
        frames, sizes, kinds = (
            [choice for choice, _ in getattr(self, name)] for name in self._drawn
        )
        require_within(
            "data.",
            self,
            bounds,
            (
                self.split in ("train", "test"),
                f"data.split must be 'train' or 'test', got {self.split!r}",
            ),
            (
                all(count >= 1 and (count - 1) % factor == 0 for count in frames),
                f"data.frames must be 1 + {factor}k each (data.time_factor {factor}), "
                f"such as {1 + 4 * factor} or {1 + 8 * factor}, got {frames}",
            ),
            (
                all(min(size) >= 16 and _aspect(size) <= WIDEST for size in sizes),
                "data.sizes must be (height, width) of 16 pixels or more and no wider "
                f"or taller than 16:9, so that objects stay in sight, got {sizes}",
            ),
            (
                set(kinds) <= set(KINDS),
                f"data.kinds must be among {', '.join(KINDS)}, got {kinds}",
            ),
            *(self._weights_rule(name) for name in self._drawn),
        )

    @property
    def lengths(self) -> tuple[int, ...]:
        """Frames that clips may have."""
        return tuple(choice for choice, _ in self.frames)

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) that clips may have."""
        return tuple(choice for choice, _ in self.sizes)

    def _weights_rule(self, name: str) -> tuple[bool, str]:
        weights = [weight for _, weight in getattr(self, name)]
        return (
            sum(weights) > 0 and min(weights) >= 0,
            f"data.{name} must be drawn with weights >= 0, one of them > 0, got "
            f"{weights}",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class PackingConfig:
    """How samples are packed into rows."""

    # Tokens in a row.
    tokens: int = 288
    # Rows in a batch.
    rows: int = 8
    # Most samples in a row, and most captions.
    samples: int = 6
    # Skip clips of more latent frames; 0 skips none.
    longest: int = 0
    # Share of samples whose caption is dropped (classifier-free guidance).
    caption_dropout: float = 0.1
    # Share of samples that begin with clean tokens.
    clean_prefix: float = 0.15
    # Share of samples that are cropped to begin mid-clip.
    mid_clip: float = 0.1
    # Share of samples cut into blocks of time, for streaming: each has a noise level of
    # its own, and does not see later ones. If above 0, attention is XLA's.
    causal: float = 0.0
    # Latent frames of a block; a clip's first frame is one alone.
    block: int = 2
    # Most blocks of a sample; the last takes what is left.
    blocks: int = 4

    @property
    def levels(self) -> int:
        """Noise levels of a row, clean included."""
        return 1 + self.samples * (self.blocks if self.causal else 1)

    def __post_init__(self):
        least, share = (1, math.inf), (0, 1)
        bounds = {"tokens": least, "rows": least, "samples": least}
        bounds |= {"block": least, "blocks": least, "causal": share}
        bounds |= {
            "longest": (0, math.inf),
            "caption_dropout": share,
            "clean_prefix": share,
            "mid_clip": share,
        }
        require_within("packing.", self, bounds)

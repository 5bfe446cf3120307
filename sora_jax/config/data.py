"""What is trained on, and how it is packed."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from sora_jax.config.plain import require, require_within


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlaygroundConfig:
    """Which captioned clips the playground makes."""

    # Clips of one seed and split are the same on every machine.
    seed: int = 0
    # "test" shows combinations of colour, shape and motion that "train" never does.
    split: Literal["train", "test"] = "train"
    # Number of clips; they are made on demand, so that any number costs nothing.
    length: int = 1_000_000
    # Frames per second.
    fps: float = 8.0
    # (frames, weight): how often each length is drawn. Lengths are 1 + 4k.
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
    # (kind, weight): one object, two, two that collide, one that passes behind a wall,
    # or two scenes with a cut. Where a clip is too short, a simpler kind is made.
    kinds: tuple[tuple[str, float], ...] = (
        ("one", 0.55),
        ("two", 0.17),
        ("collide", 0.08),
        ("behind", 0.08),
        ("cut", 0.12),
    )

    def __post_init__(self):
        require_within("data.", self, {"length": (1, math.inf)})
        require(self.fps > 0, f"data.fps must be > 0, got {self.fps}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PackingConfig:
    """How samples are laid into rows."""

    # Tokens in a row, rows in a batch, and most samples and captions in a row.
    tokens: int = 288
    rows: int = 8
    samples: int = 6
    # Share of samples whose caption is dropped (classifier-free guidance).
    caption_dropout: float = 0.1
    # Share of samples that begin with clean tokens, and that are headless crops.
    clean_prefix: float = 0.15
    headless: float = 0.1

    def __post_init__(self):
        least, share = (1, math.inf), (0, 1)
        bounds = {"tokens": least, "rows": least, "samples": least}
        bounds |= {"caption_dropout": share, "clean_prefix": share, "headless": share}
        require_within("packing.", self, bounds)

"""Sampling settings."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any, Literal

from sora_jax.config.plain import FPS, require_within
from sora_jax.files import quoted

Solver = Literal["euler", "heun", "unipc", "renoise"]
# What is reused between denoising steps (sampling.magcache).
Cache = Literal["none", "magcache"]
MOST_OVERLAP = 0.75  # of tiles: with more, each place is refined many times over
# How pictures and clips are resized, and the end at which a clip is extended.
Fit = Literal["crop", "pad", "stretch"]
Direction = Literal["forward", "backward", "both"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """Sampling settings of a model."""

    # ODE solver, or the sampling loop of few-step models (diffusion.solvers).
    solver: Solver = "unipc"
    # Denoising steps.
    steps: int = 12
    # Noise levels of the steps, decreasing from at most 1 (noise), before the shift;
    # none: evenly spaced. Initial noise is scaled to the first.
    sigmas: tuple[float, ...] = ()
    # Classifier-free guidance; 1 switches it off.
    guidance: float = 4.0
    # Guidance of the second of two transformers; None: that of the first.
    guidance_low: float | None = None
    # Moves the noise levels towards noise (see diffusion.flow.shifted); unlike in
    # training, it does not grow with the number of tokens.
    shift: float = 2.0
    # Frames of a video: 1 (an image) or 1 + r k, with the time factor r of the VAE.
    frames: int = 17
    # Frames sampled at once; longer videos are sampled window by window. None: the
    # default of `frames`.
    window: int | None = None
    # Frames of the previous window that a window is conditioned on.
    context: int = 5
    # (height, width) in pixels.
    size: tuple[int, int] = (64, 64)
    # Frames per second.
    fps: float = 8.0
    # Negative prompt for guidance; empty for the unconditional velocity.
    negative_prompt: str = ""
    # "magcache" skips the transformer's blocks in steps whose residual hardly changes.
    cache: Cache = "none"
    # Error that may accumulate before blocks run again: more is faster and less exact.
    cache_threshold: float = 0.06
    # Steps in a row that may skip.
    cache_max_skips: int = 2
    # Share of the steps, the first ones, that never skip.
    cache_retention: float = 0.2
    # (time, ratio of the residual's magnitude to the one before) of each step, as
    # measured by sampling.calibration.
    cache_curve: tuple[tuple[float, float], ...] = ()
    # Side in pixels of the tiles that the VAE decodes; 0 decodes whole frames; None
    # chooses by free memory.
    tile: int | None = None
    # (height, width) in pixels of the tiles in which larger frames are refined; None:
    # the model's own size.
    refine_tile: tuple[int, int] | None = None
    # Share of such a tile's sides, and of a window's frames, that it has in common with
    # the next, at least.
    refine_overlap: float = 0.25

    def __post_init__(self):
        least = (1, math.inf)
        require_within(
            "",
            self,
            {
                "steps": least,
                "frames": least,
                "context": least,
                "fps": FPS,
                "cache_threshold": (0, math.inf),
                "cache_max_skips": least,
                "cache_retention": (0, 1),
                "refine_overlap": (0, MOST_OVERLAP),
            },
            (
                0 <= self.guidance < math.inf,
                f"guidance must be >= 0 and finite, got {self.guidance}",
            ),
            (
                self.guidance_low is None or 0 <= self.guidance_low < math.inf,
                "guidance_low must be >= 0 and finite, or None, got "
                f"{self.guidance_low}",
            ),
            (
                self.window is None or self.window >= 1,
                f"window must be >= 1 or None, got {self.window}",
            ),
            (
                self.tile is None or self.tile >= 0,
                f"tile must be >= 0 or None, got {self.tile}",
            ),
            (
                self.refine_tile is None or min(self.refine_tile) >= 1,
                "refine_tile must be (height, width) of 1 pixel or more, got "
                f"{self.refine_tile}",
            ),
            (
                0 < self.shift < math.inf,
                f"shift must be > 0 and finite, got {self.shift}",
            ),
            (
                not self.sigmas or self.steps == len(self.sigmas),
                f"steps must be the number of sigmas, {len(self.sigmas)}, got "
                f"{self.steps}: leave one of them out",
            ),
            (
                all(
                    a > b for a, b in itertools.pairwise((1.0 + 1e-9, *self.sigmas, 0))
                ),
                "sigmas must decrease, from at most 1 to above 0, got "
                f"{quoted(self.sigmas)}",
            ),
            (
                all(0 <= t <= 1 and 0 < r < math.inf for t, r in self.cache_curve),
                "cache_curve must be (time from 0 to 1, ratio above 0) pairs, got "
                f"{quoted(self.cache_curve)}",
            ),
            (
                min(self.size) >= 1,
                f"size must be (height, width) of 1 pixel or more, got {self.size}",
            ),
        )

    def guides(self, two: bool) -> bool:
        """Return whether guidance needs the unconditional velocity.

        Args:
          two: whether there is a second transformer, with its own guidance.
        """
        scales = (self.guidance, self.guidance_low) if two else (self.guidance,)
        return any(scale not in (None, 1) for scale in scales)

    def asked(self, **settings: Any) -> SamplingConfig:
        """Override settings.

        `guidance` alone also sets `guidance_low`, `sigmas` alone the number of steps,
        and `steps` alone spaces them evenly.
        """
        if "guidance" in settings:
            settings = {"guidance_low": None, **settings}
        if settings.get("sigmas"):
            settings = {"steps": len(settings["sigmas"]), **settings}
        elif "steps" in settings:
            settings = {"sigmas": (), **settings}
        return dataclasses.replace(self, **settings)

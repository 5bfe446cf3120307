"""A whole model: what a folder of weights holds and how it makes videos."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Literal

from sora_jax import limits
from sora_jax.config.models import DiTConfig, TextConfig, VAEConfig
from sora_jax.config.plain import require, require_within
from sora_jax.config.sampling import SamplingConfig
from sora_jax.files import quoted

Conditioning = Literal["channels", "tokens", "nothing"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SeenConfig:
    """What a model's last training showed, as far as it is known and short enough."""

    # (height, width) of its clips in pixels; none: unknown.
    sizes: tuple[tuple[int, int], ...] = ()

    # Words of its captions, in lower case; none: unknown, or a language.
    words: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdapterConfig:
    """Factors of low rank beside kernels (LoRA, arXiv 2106.09685)."""

    # Regular expressions of the linear maps that get factors; each has to match a
    # whole path, such as blocks/self_attention/qkv.
    targets: tuple[str, ...] = ("blocks/.*",)
    # Columns of the first factor and rows of the second.
    rank: int = 16
    # The product of the factors counts alpha / rank times.
    alpha: float = 16.0

    def __post_init__(self):
        require_within(
            "adapter.",
            self,
            {"rank": (1, limits.FEATURES)},
            (
                0 < self.alpha < math.inf,
                f"adapter.alpha must be > 0, got {self.alpha}",
            ),
            (
                len(self.targets) >= 1,
                "adapter.targets must name at least one path, got none",
            ),
        )
        for target in self.targets:
            try:
                re.compile(target)
            except (re.error, RecursionError) as error:
                raise ValueError(
                    "adapter.targets must be regular expressions, got "
                    f"{quoted(target)} ({error})"
                ) from error

    @property
    def scale(self) -> float:
        """What the product of the factors is multiplied by."""
        return self.alpha / self.rank


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The networks of a model, and what is done when nothing else is asked for."""

    # What messages call the model.
    name: str
    # Pixels to latents and back.
    vae: VAEConfig
    # The transformer.
    dit: DiTConfig
    # The text encoder.
    text: TextConfig
    # How videos are made when nothing else is asked for.
    sampling: SamplingConfig
    # The frame rate in which the DiT counts time; None: it counts latent frames,
    # whatever their rate (Wan).
    fps: float | None
    # How known pixels enter: as channels beside the noise, as clean tokens at the
    # beginning, or not at all.
    conditioning: Conditioning
    # Whether the DiT was trained to go on from clean latents of the middle of a video,
    # so that a long one is made in latents, without a way through pixels.
    mid_clip: bool = False
    # Where two transformers share the work: the first makes the steps from this time
    # on (1 is noise), the second those below.
    boundary: float | None = None
    # What training showed; other requests are made all the same, with a warning.
    seen: SeenConfig = SeenConfig()

    def __post_init__(self):
        require_within(
            "",
            self,
            {},
            (
                self.fps is None or 0 < self.fps < math.inf,
                f"fps must be > 0 or None, got {self.fps}",
            ),
            (
                self.boundary is None or 0 < self.boundary < 1,
                f"boundary must be between 0 and 1 or None, got {self.boundary}",
            ),
            (
                (self.conditioning == "channels") == (self.dit.extra_channels > 0),
                f"conditioning must be 'channels' just where dit.extra_channels "
                f"({self.dit.extra_channels}) are not 0, got {self.conditioning!r}",
            ),
        )
        features = dict(self.dit.contexts).get("text")
        require(
            features == self.text.width and self.dit.channels == self.vae.channels,
            "dit.contexts and dit.channels must be what text.width and vae.channels "
            f"are, got {features}, {self.dit.channels} beside {self.text.width}, "
            f"{self.vae.channels}",
        )

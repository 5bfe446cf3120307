"""Configs of a whole model and of adapters."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Literal

from sora_jax import limits
from sora_jax.config.causal import CausalConfig
from sora_jax.config.dtypes import Quantization
from sora_jax.config.encoders import PictureConfig, TextConfig
from sora_jax.config.history import ChunksConfig
from sora_jax.config.models import DiTConfig, VAEConfig
from sora_jax.config.plain import require, require_within
from sora_jax.config.sampling import SamplingConfig
from sora_jax.files import quoted

Conditioning = Literal["channels", "tokens", "control", "history", "nothing"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SeenConfig:
    """Sizes and vocabulary of a model's training clips, if known and small."""

    # (height, width) of its clips in pixels; none: unknown.
    sizes: tuple[tuple[int, int], ...] = ()

    # Words of its captions, in lower case; none: unknown, or a language.
    words: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdapterConfig:
    """Low-rank factors beside kernels (LoRA, arXiv 2106.09685)."""

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
        """Scale of the product of the factors."""
        return self.alpha / self.rank


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The networks of a model, and its sampling defaults."""

    # Name of the model.
    name: str
    # Pixels to latents and back.
    vae: VAEConfig
    # The transformer.
    dit: DiTConfig
    # The text encoder.
    text: TextConfig
    # Default sampling settings.
    sampling: SamplingConfig
    # The frame rate in which the DiT counts time; None: it counts latent frames,
    # whatever their rate (Wan).
    fps: float | None
    # How given pixels enter: as channels beside the noise, as clean tokens at the
    # beginning, through the control branch, as the history of a chunk, or not at all.
    conditioning: Conditioning
    # Sets of whole frames, one of which has to be given; -1 is the last. Empty: any
    # pixels may be given, or none (Wan's image-to-video models need a first frame).
    keyframes: tuple[tuple[int, ...], ...] = ()
    # The encoder of the given frames as a context, if the DiT reads one.
    picture: PictureConfig | None = None
    # Whether the DiT was trained on mid-clip crops, so that it can continue a video in
    # latents instead of through pixels.
    mid_clip: bool = False
    # How a transformer that makes a video block by block was trained to; given pixels
    # are then clean tokens at the beginning. None: it makes a window at once.
    causal: CausalConfig | None = None
    # How it makes a video chunk by chunk, if it does.
    chunks: ChunksConfig | None = None
    # With two transformers: the first runs the steps at times from this one up (1 is
    # noise), the second those below.
    boundary: float | None = None
    # How the linear maps of the layers of transformers and text encoder are kept in
    # memory: as they are, or in 8 bits with a scale for each output.
    quantization: Quantization = "none"
    # Training sizes and vocabulary; other requests get a warning.
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
                f"conditioning must be 'channels' exactly if dit.extra_channels "
                f"({self.dit.extra_channels}) is not 0, got {self.conditioning!r}",
            ),
            (
                (self.conditioning == "control") == bool(self.dit.control_layers),
                "conditioning must be 'control' exactly if there are "
                f"dit.control_layers ({quoted(self.dit.control_layers)}), got "
                f"{self.conditioning!r}",
            ),
            (
                self.causal is None
                or not (self.keyframes or self.picture or self.boundary)
                and self.conditioning in ("tokens", "channels"),
                "causal must be None unless conditioning is 'tokens' or 'channels', "
                "without keyframes, picture encoder and second transformer, got "
                f"{self.causal} beside {self.conditioning!r}",
            ),
            (
                not self.keyframes or self.conditioning == "channels",
                "keyframes must be empty unless conditioning is 'channels', got "
                f"{self.keyframes} beside {self.conditioning!r}",
            ),
        )
        require(
            (self.conditioning == "history")
            == (self.dit.history is not None)
            == (self.chunks is not None),
            "conditioning must be 'history' exactly if there are dit.history and "
            f"chunks, got {self.conditioning!r} beside {self.dit.history} and "
            f"{self.chunks}",
        )
        contexts = dict(self.dit.contexts)
        features, picture = contexts.get("text"), self.picture
        pictures = contexts.get("picture")
        require(
            pictures == (picture and picture.width),
            "dit.contexts must have a 'picture' of picture.width features exactly if "
            f"there is a picture encoder, got {pictures} beside "
            f"{picture and picture.width}",
        )
        require(
            features == self.text.width and self.dit.channels == self.vae.channels,
            "dit.contexts and dit.channels must be what text.width and vae.channels "
            f"are, got {features}, {self.dit.channels} beside {self.text.width}, "
            f"{self.vae.channels}",
        )

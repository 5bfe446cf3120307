"""The encoders of contexts: texts and pictures."""

from __future__ import annotations

import dataclasses
from typing import Literal

from sora_jax import limits
from sora_jax.config.models import FEATURES, LAYERS, UNROLL, Dtype
from sora_jax.config.plain import require_within


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextConfig:
    """The T5 / umT5 text encoder and its tokenizer."""

    # Pieces of the tokenizer, at least.
    vocabulary: int = 640
    # Features of a token.
    width: int = 96
    # Layers.
    depth: int = 2
    # Attention heads.
    heads: int = 3
    # Features of a head.
    head_dim: int = 32
    # Hidden features of the gated MLP.
    mlp: int = 192
    # Buckets of relative positions.
    buckets: int = 32
    # Distance beyond which all positions share a bucket.
    max_distance: int = 128
    # Prompts are cut or padded to this many tokens; padding counts as text, as in Wan.
    pad_to: int = 48
    # Layers per iteration of the scan over layers (see DiTConfig).
    unroll: int = 1
    # Precision of activations (see VAEConfig).
    dtype: Dtype = "auto"

    def __post_init__(self):
        names = ("width", "heads", "head_dim", "mlp", "pad_to", "buckets")
        bounds = {"vocabulary": (2, limits.FEATURES), "max_distance": (2, 2**30)}
        require_within(
            "text.",
            self,
            dict.fromkeys(names, FEATURES)
            | {"depth": LAYERS, "unroll": UNROLL}
            | bounds,
            (
                self.buckets >= 4 and self.buckets % 2 == 0,
                f"text.buckets must be an even number >= 4, got {self.buckets}",
            ),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class PictureConfig:
    """The vision tower of CLIP, whose states are a context."""

    # Features of a patch.
    width: int = 1280
    # Layers, of which the last is stored but not used.
    depth: int = 32
    # Attention heads, which share the width.
    heads: int = 16
    # Hidden features of the MLP.
    mlp: int = 5120
    # Side of a patch in pixels.
    patch: int = 14
    # Side of a picture in pixels.
    size: int = 224
    # How pictures are brought to that size: "crop" resizes the shorter side, smoothed,
    # and crops the middle (diffusers); "squash" resizes both sides (Wan's own code).
    fit: Literal["crop", "squash"] = "crop"
    # Precision of activations (see VAEConfig).
    dtype: Dtype = "auto"

    def __post_init__(self):
        names = ("width", "heads", "mlp", "patch", "size")
        require_within(
            "picture.",
            self,
            dict.fromkeys(names, FEATURES) | {"depth": (2, limits.LAYERS)},
            (
                self.width % self.heads == 0,
                "picture.width must be a multiple of picture.heads, got "
                f"{self.width} and {self.heads}",
            ),
            (
                self.size % self.patch == 0,
                "picture.size must be a multiple of picture.patch, got "
                f"{self.size} and {self.patch}",
            ),
        )

    @property
    def states(self) -> int:
        """States of a picture: one for each patch, and that of the class token."""
        return 1 + (self.size // self.patch) ** 2

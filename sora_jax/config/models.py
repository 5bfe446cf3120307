"""The networks."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from sora_jax import limits
from sora_jax.config.history import HistoryConfig
from sora_jax.config.plain import Number, require, require_within
from sora_jax.files import quoted

# float64 (with JAX_ENABLE_X64=1) is for comparing programs without rounding.
Dtype = Literal["auto", "bfloat16", "float32", "float64"]
LEAST_ONE: tuple[Number, Number] = (1, math.inf)
# Far beyond any model, and small enough that checking them needs little memory.
FEATURES: tuple[Number, Number] = (1, limits.FEATURES)
LAYERS: tuple[Number, Number] = (1, limits.LAYERS)
UNROLL: tuple[Number, Number] = (1, limits.UNROLL)


@dataclasses.dataclass(frozen=True, kw_only=True)
class VAEConfig:
    """The causal video VAE."""

    # Pixels folded into channels before the encoder: 1 (Wan 2.1) or 2 (Wan 2.2).
    patch: int = 2
    # Latent channels (z).
    channels: int = 16
    # Channels of the encoder's finest resolution.
    encoder_width: int = 12
    # Channels of the decoder's finest resolution.
    decoder_width: int = 16
    # Width of each resolution as a multiple of the base width, finest first.
    multipliers: tuple[int, ...] = (1, 2, 4)
    # Residual blocks at each resolution (the decoder has one more).
    blocks: int = 1
    # (time, space) factor of each downsampling, finest first.
    stages: tuple[tuple[int, int], ...] = ((2, 2), (2, 2))
    # Parameter-free paths around each stage (Wan 2.2).
    shortcuts: bool = True
    # How the decoder's shortcuts double time: "unfold" gives both frames of a pair
    # channels of their own, as in Wan 2.2; "repeat" gives them the same.
    time_shortcut: Literal["unfold", "repeat"] = "unfold"
    # Padding of causal layers before a clip: its first frame repeated, so that a still
    # clip has constant latents, or zeros, as in Wan.
    temporal_padding: Literal["first", "zeros"] = "first"
    # Precision of activations; "auto" is float32 on CPU and bfloat16 elsewhere.
    dtype: Dtype = "auto"

    def __post_init__(self):
        names = ("channels", "encoder_width", "decoder_width")
        widest = max(1, self.encoder_width, self.decoder_width)
        most = min(limits.FACTOR, limits.FEATURES // widest)
        require_within(
            "vae.",
            self,
            dict.fromkeys(names, FEATURES)
            | {"patch": (1, limits.FACTOR), "blocks": (1, limits.BLOCKS)},
            (
                len(self.stages) <= limits.STAGES,
                f"vae.stages must be at most {limits.STAGES}, got {len(self.stages)}",
            ),
            (
                all(1 <= multiple <= most for multiple in self.multipliers),
                f"vae.multipliers must be from 1 to {most} each at these widths, "
                f"got {quoted(self.multipliers)}",
            ),
            (
                len(self.multipliers) == len(self.stages) + 1,
                f"vae.multipliers must have one entry more than vae.stages, "
                f"got {quoted(self.multipliers)} and {quoted(self.stages)}",
            ),
            (
                all(time in (1, 2) and space == 2 for time, space in self.stages),
                f"vae.stages must be (1, 2) or (2, 2) each, got {quoted(self.stages)}",
            ),
        )
        require(
            not self.shortcuts or self._shortcuts_divide(),
            "vae.multipliers must grow by a divisor of each stage's factors for "
            f"vae.shortcuts (time_shortcut {self.time_shortcut!r}), got "
            f"{quoted(self.multipliers)} and stages {quoted(self.stages)}",
        )

    def _shortcuts_divide(self) -> bool:
        """Whether shortcuts fold and unfold into whole groups of channels."""
        down = zip((1, *self.multipliers), self.multipliers, self.stages, strict=False)
        last, *others = self.multipliers[::-1]
        up = zip(
            (last, last, *others), (last, *others), self.stages[::-1], strict=False
        )
        return all(a * t * s**2 % b == 0 for a, b, (t, s) in down) and all(
            b * (1 if self.time_shortcut == "repeat" else t) * s**2 % a == 0
            for a, b, (t, s) in up
        )

    @property
    def time_factor(self) -> int:
        """Frames per latent frame after the first."""
        return math.prod(time for time, _ in self.stages)

    @property
    def space_factor(self) -> int:
        """Pixels per latent cell along height and width."""
        return self.patch * math.prod(space for _, space in self.stages)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttentionPlan:
    """How attention is computed; does not change its result."""

    # Kernel for long rows: "splash" on TPU, "triton" on GPU, "xla" anywhere, in blocks
    # of queries; "auto" selects by platform.
    kernel: Literal["auto", "splash", "triton", "xla"] = "auto"
    # Up to this many scores per device (batch x heads x queries x keys) are computed
    # without a kernel; "xla" holds as many at once.
    most_scores: int = 2**24
    # Queries of splash's tiles, at most.
    block_q: int = 1024
    # Keys of splash's tiles, at most.
    block_kv: int = 1024
    # Interpret kernels of another platform, for tests.
    interpret: bool = False

    def __post_init__(self):
        bounds = dict.fromkeys(("block_q", "block_kv"), (128, math.inf))
        require_within("attention.", self, {"most_scores": LEAST_ONE, **bounds})


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiTConfig:
    """The diffusion transformer."""

    # Latent channels (z of the VAE).
    channels: int = 16
    # Conditioning channels (mask and latents of given pixels); 0 without.
    extra_channels: int = 20
    # Latent cells (time, height, width) per token.
    patch: tuple[int, int, int] = (1, 2, 2)
    # Features of a token.
    width: int = 144
    # Layers.
    depth: int = 6
    # Attention heads, which share the width.
    heads: int = 4
    # Hidden features of the MLP.
    mlp: int = 416
    # Features of the sinusoidal time embedding.
    time_features: int = 256
    # Base of the rotary wavelengths (Wan: 10000); short clips need no long waves.
    theta: float = 10_000.0
    # Whether tokens also get an absolute position embedding, a linear map of their
    # rotary angles.
    position_embedding: bool = False
    # (name, features) of each cross-attention memory.
    contexts: tuple[tuple[str, int], ...] = (("text", 96),)
    # Learned positions of the picture context: its states in all; 0 without (Wan's
    # model of first and last frames has them).
    picture_positions: int = 0
    # Channels of the control branch (VACE's 96); 0 without a branch.
    control_channels: int = 0
    # Layers after which the control branch adds to the tokens, a block of it for each.
    control_layers: tuple[int, ...] = ()
    # How latents before a chunk are read, in models that make chunks (Helios).
    history: HistoryConfig | None = None
    # What the backward pass recomputes: nothing, everything, all but attention outputs,
    # or all but matmuls.
    remat: Literal["none", "full", "attention", "dots"] = "none"
    # Layers per iteration of the scan over layers: more is faster on CPU, and slower to
    # compile.
    unroll: int = 1
    # How attention is computed.
    attention: AttentionPlan = AttentionPlan()
    # Precision of activations (see VAEConfig).
    dtype: Dtype = "auto"

    def __post_init__(self):
        names = ("channels", "width", "heads", "mlp", "time_features")
        require_within(
            "dit.",
            self,
            dict.fromkeys(names, FEATURES)
            | {"depth": LAYERS, "unroll": UNROLL}
            | dict.fromkeys(
                ("extra_channels", "picture_positions", "control_channels"),
                (0, limits.FEATURES),
            ),
            (
                len(self.contexts) <= limits.CONTEXTS
                and all(
                    1 <= features <= limits.FEATURES for _, features in self.contexts
                ),
                f"dit.contexts must be at most {limits.CONTEXTS}, each of 1 to "
                f"{limits.FEATURES} features, got {quoted(self.contexts)}",
            ),
            (
                self.heads >= 1 and self.width % (2 * self.heads) == 0,
                f"dit.width must be an even multiple of dit.heads, "
                f"got {self.width} and {self.heads}",
            ),
            (
                self.time_features >= 2 and self.time_features % 2 == 0,
                "dit.time_features must be an even number >= 2, "
                f"got {self.time_features}",
            ),
            (
                self.patch[0] == 1
                and 1 <= min(self.patch)
                and max(self.patch) <= limits.FACTOR,
                "dit.patch must be (1, height, width) of 1 to "
                f"{limits.FACTOR}, since stretches and clean beginnings are counted in "
                f"latent frames, got {self.patch}",
            ),
            (self.theta > 1, f"dit.theta must be > 1, got {self.theta}"),
            (
                not self.picture_positions or "picture" in dict(self.contexts),
                "dit.picture_positions needs a context 'picture' in dit.contexts, got "
                f"{quoted(self.contexts)}",
            ),
            (
                bool(self.control_channels) == bool(self.control_layers)
                and list(self.control_layers) == sorted(set(self.control_layers))
                and all(0 <= layer < self.depth for layer in self.control_layers),
                "dit.control_layers must be increasing layers below dit.depth "
                f"({self.depth}), and none without dit.control_channels "
                f"({self.control_channels}), got {quoted(self.control_layers)}",
            ),
            (
                self.history is None
                or not (self.position_embedding or self.extra_channels),
                "dit.history must be None beside dit.position_embedding or "
                f"dit.extra_channels, got {self.history}",
            ),
        )

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return self.width // self.heads

    @property
    def patch_features(self) -> int:
        """Features of a token: the latents of its patch."""
        return math.prod(self.patch) * self.channels

    @property
    def extra_features(self) -> int:
        """Conditioning features of a token."""
        return math.prod(self.patch) * self.extra_channels

    @property
    def control_features(self) -> int:
        """Features of a token of the control branch."""
        return math.prod(self.patch) * self.control_channels


@dataclasses.dataclass(frozen=True, kw_only=True)
class CriticConfig:
    """The VAE's critic, a patch discriminator over space and time (off at weight 0)."""

    # Weight of the critic's loss beside the others; 0 switches it off.
    weight: float = 0.0
    # Channels of its first layer.
    width: int = 32
    # Batches before the critic's gradient reaches the VAE.
    start: int = 1000
    # The critic's learning rate.
    lr: float = 2e-4

    def __post_init__(self):
        bounds = {"weight": (0, math.inf), "start": (0, math.inf), "width": LEAST_ONE}
        require_within(
            "critic.",
            self,
            bounds,
            (self.lr > 0, f"critic.lr must be > 0, got {self.lr}"),
        )

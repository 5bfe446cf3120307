"""The runs that a config file returns, and how they train."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from sora_jax.config.data import PackingConfig, PlaygroundConfig
from sora_jax.config.models import CriticConfig, DiTConfig, TextConfig, VAEConfig
from sora_jax.config.plain import require, require_within
from sora_jax.sharding import Rules

RULES: Rules = (
    ("batch", ("data", "fsdp")),
    ("tokens", "context"),
    ("embed", "fsdp"),
    ("heads", "tensor"),
    ("mlp", "tensor"),
    ("vocabulary", "tensor"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """Optimizer and schedule: warm-up, constant, then linear decay to zero."""

    name: Literal["adamw", "muon"] = "adamw"
    lr: float = 1e-3
    warmup: int = 100
    # Share of the run, at its end, in which the rate decays.
    decay: float = 0.3
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01
    # Largest global norm of a gradient; None switches clipping off.
    clip: float | None = 1.0
    # Micro-batches whose gradients are averaged for one update.
    accumulate: int = 1
    ema_decay: float = 0.999

    def __post_init__(self):
        require(self.lr > 0, f"optim.lr must be > 0, got {self.lr}")
        bounds = {"decay": (0, 1), "ema_decay": (0, 1), "warmup": (0, math.inf)}
        bounds |= {"accumulate": (1, math.inf), "weight_decay": (0, math.inf)}
        require_within("optim.", self, bounds)
        require(
            self.clip is None or self.clip > 0,
            f"optim.clip must be > 0 or None, got {self.clip}",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeshConfig:
    """Devices along each mesh axis; one may be -1 and takes what is left."""

    data: int = -1
    fsdp: int = 1
    context: int = 1
    tensor: int = 1

    def __post_init__(self):
        sizes = dataclasses.asdict(self)
        require(
            all(size >= 1 or size == -1 for size in sizes.values())
            and list(sizes.values()).count(-1) <= 1,
            f"mesh axes must be >= 1, and at most one of them -1, got {sizes}",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What every training run has."""

    # Of the initial parameters, the order of clips and the noise.
    seed: int = 0
    # Batches of the whole run; the optimizer moves once in `optim.accumulate` of them.
    steps: int = 1000
    # Steps between two lines of numbers in TensorBoard.
    log_every: int = 20
    # Steps between two evaluations on held-out clips, and one at the end.
    eval_every: int = 500
    # Steps between two checkpoints, and one at the end.
    checkpoint_every: int = 500
    # Checkpoints kept on disk.
    keep: int = 2
    optim: OptimConfig = OptimConfig()
    mesh: MeshConfig = MeshConfig()
    # (logical axis, mesh axes): where arrays are split.
    rules: Rules = RULES

    def __post_init__(self):
        # Two checkpoints stay, because a kill may truncate the newest.
        least = {"steps": 1, "log_every": 1, "eval_every": 1, "checkpoint_every": 1}
        bounds = {name: (low, math.inf) for name, low in {**least, "keep": 2}.items()}
        require_within("", self, bounds)


@dataclasses.dataclass(frozen=True, kw_only=True)
class VAERun(RunConfig):
    """Train the VAE on clips."""

    # Clips of one length and one size: a batch is one array.
    data: PlaygroundConfig = PlaygroundConfig(
        frames=((17, 1.0),), sizes=(((64, 64), 1.0),)
    )
    vae: VAEConfig = VAEConfig()
    # Clips of a step.
    batch: int = 8
    # Pixels of the window that is cut around an object; 0 trains on whole frames.
    window: int = 0
    # A VAE to start from: the workdir of a run on images, or a weights folder.
    start_from: str = ""
    # Train the decoder alone: latents stay as they are, and with them every DiT.
    decoder_only: bool = False
    # Weights of the losses beside L1. Squares find colours early; edges sharpen late.
    squares: float = 2.0
    edges: float = 0.5
    kl: float = 1e-4
    critic: CriticConfig = CriticConfig()

    def __post_init__(self):
        super().__post_init__()
        require_within("", self, {"batch": (1, math.inf)})
        require(
            bool(self.start_from) or not self.decoder_only,
            "decoder_only must be False without a trained encoder (start_from), "
            "got True",
        )
        for name in ("frames", "sizes"):
            choices = getattr(self.data, name)
            require(
                len(choices) == 1,
                f"data.{name} must have one entry when a VAE is trained (a batch is "
                f"one array), got {choices}",
            )
        ((frames, _),), ((size, _),) = self.data.frames, self.data.sizes
        largest, cell, time = min(size), self.vae.space_factor, self.vae.time_factor
        require(
            frames % time == 1 % time,
            f"data.frames must be 1 + {time}k, got {frames}",
        )
        require(
            all(side % cell == 0 for side in size),
            f"data.sizes must be multiples of {cell}, got {size}",
        )
        require(
            0 <= self.window <= largest and self.window % cell == 0,
            f"window must be 0 or a multiple of {cell} up to {largest} (the smallest "
            f"side of data.sizes), got {self.window}",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncodeRun:
    """Encode clips and their drawn conditions once, for the DiT run to read."""

    seed: int = 0
    data: PlaygroundConfig = PlaygroundConfig(length=20_000)
    # Folder of the trained VAE: a VAE run's workdir, or published weights.
    vae: str = ""
    # Share of clips that get a condition beside "nothing is known".
    conditioned: float = 0.5
    # Clips of one shape encoded together.
    batch: int = 16
    # Clips of the test split, encoded beside the training clips.
    held_out_clips: int = 256
    # The tokenizer learns this many pieces from the captions of so many clips.
    vocabulary: int = 640
    tokenizer_clips: int = 20_000
    # Clips from which mean and deviation of the latents are measured.
    statistics_clips: int = 256

    def __post_init__(self):
        least = {"batch": 1, "held_out_clips": 1, "statistics_clips": 1}
        least |= {"tokenizer_clips": 1, "vocabulary": 300}
        bounds = {name: (low, math.inf) for name, low in least.items()}
        require_within("", self, {**bounds, "conditioned": (0, 1)})


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlowConfig:
    """Flow matching: t is logit-normal, then shifted by the sample's token count.

    With n tokens the shift is a = shift * sqrt(n / shift_tokens) and
    t' = a t / (1 + (a - 1) t).
    """

    mean: float = 0.0
    std: float = 1.0
    shift: float = 1.0
    shift_tokens: int = 80

    def __post_init__(self):
        for name in ("std", "shift", "shift_tokens"):
            value = getattr(self, name)
            require(value > 0, f"flow.{name} must be > 0, got {value}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiTRun(RunConfig):
    """Train the DiT and its text encoder on encoded clips."""

    # Folder that an EncodeRun wrote; it holds the latents, the VAE and the tokenizer.
    latents: str = ""
    dit: DiTConfig = DiTConfig()
    text: TextConfig = TextConfig()
    packing: PackingConfig = PackingConfig()
    flow: FlowConfig = FlowConfig()

    def __post_init__(self):
        super().__post_init__()
        read = dict(self.dit.contexts).get("text")
        require(
            read == self.text.width,
            f"dit.contexts must read text of width {self.text.width} (text.width), "
            f"got {read}",
        )

"""Every setting of the project as frozen dataclasses; defaults live here alone.

A config file (`configs/*.py`) defines `get_config(arg=None)` and returns one of the
runs at the end of this file. Values are checked when a dataclass is built, so an
override on the command line is checked like any other value.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from typing import Any, Literal

from sora_jax.sharding import Rules

Dtype = Literal["auto", "bfloat16", "float32"]


def require(condition: bool, message: str) -> None:
    """Raise a ValueError that names the field, the value and the remedy."""
    if not condition:
        raise ValueError(message)


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class VAEConfig:
    """The causal video VAE."""

    # Pixels folded into channels before the encoder: 1 (Wan 2.1) or 2 (Wan 2.2).
    patch: int = 2
    # Latent channels (z).
    channels: int = 16
    encoder_width: int = 12
    decoder_width: int = 16
    # Width of each resolution as a multiple of the base width, finest first.
    multipliers: tuple[int, ...] = (1, 2, 4)
    # Residual blocks at each resolution (the decoder has one more).
    blocks: int = 1
    # (time, space) factor of each downsampling, finest first.
    stages: tuple[tuple[int, int], ...] = ((2, 2), (2, 2))
    # Parameter-free paths around each stage (Wan 2.2).
    shortcuts: bool = True
    dtype: Dtype = "auto"

    def __post_init__(self):
        require(
            len(self.multipliers) == len(self.stages) + 1,
            f"vae.multipliers must have one entry more than vae.stages, "
            f"got {self.multipliers} and {self.stages}",
        )
        require(
            all(time in (1, 2) and space == 2 for time, space in self.stages),
            f"vae.stages must be (1, 2) or (2, 2) each, got {self.stages}",
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
    """How attention is computed; never what."""

    # "xla" materialises the scores: the right choice for short rows.
    kernel: Literal["xla"] = "xla"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiTConfig:
    """The diffusion transformer."""

    # Latent channels, and channels of conditioning beside them (mask and known latents;
    # 0 for a model of text alone).
    channels: int = 16
    extra_channels: int = 20
    # Latent cells (time, height, width) per token.
    patch: tuple[int, int, int] = (1, 2, 2)
    width: int = 144
    depth: int = 6
    heads: int = 4
    mlp: int = 432
    # Features of the sinusoidal time embedding.
    time_features: int = 256
    # (name, features) of each cross-attention memory.
    contexts: tuple[tuple[str, int], ...] = (("text", 96),)
    # What the backward pass recomputes: nothing, everything, or all but dots.
    remat: Literal["none", "full", "dots"] = "none"
    attention: AttentionPlan = AttentionPlan()
    dtype: Dtype = "auto"

    def __post_init__(self):
        require(
            self.width % self.heads == 0 and self.head_dim % 2 == 0,
            f"dit.width must be an even multiple of dit.heads, "
            f"got {self.width} and {self.heads}",
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextConfig:
    """The T5 / umT5 text encoder and its tokenizer."""

    vocabulary: int = 640
    width: int = 96
    depth: int = 2
    heads: int = 3
    head_dim: int = 32
    mlp: int = 192
    # Relative position buckets and the distance where they saturate.
    buckets: int = 32
    max_distance: int = 128
    # Prompts are cut or padded to this many tokens; padding counts as text, as in Wan.
    pad_to: int = 48
    dtype: Dtype = "auto"


@dataclasses.dataclass(frozen=True, kw_only=True)
class CriticConfig:
    """The VAE's critic, a patch discriminator over space and time (off at weight 0)."""

    weight: float = 0.0
    width: int = 32
    # Optimizer steps before the critic's gradient reaches the VAE.
    start: int = 1000
    lr: float = 2e-4


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
        require(
            0 <= self.decay <= 1, f"optim.decay must be in [0, 1], got {self.decay}"
        )
        require(
            self.accumulate >= 1,
            f"optim.accumulate must be >= 1, got {self.accumulate}",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeshConfig:
    """Devices along each mesh axis; one may be -1 and takes what is left."""

    data: int = -1
    fsdp: int = 1
    context: int = 1
    tensor: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """How a model makes videos when nothing else is asked for."""

    solver: Literal["euler", "heun", "unipc"] = "unipc"
    steps: int = 20
    # Classifier-free guidance; 1 switches it off.
    guidance: float = 4.0
    # Moves the noise levels towards noise (see diffusion.flow.shifted).
    shift: float = 2.0
    frames: int = 17
    # (height, width) in pixels.
    size: tuple[int, int] = (64, 64)
    fps: float = 8.0
    negative_prompt: str = ""

    def __post_init__(self):
        require(self.steps >= 1, f"steps must be at least 1, got {self.steps}")
        require(self.shift > 0, f"shift must be > 0, got {self.shift}")


RULES: Rules = (
    ("batch", ("data", "fsdp")),
    ("tokens", "context"),
    ("embed", "fsdp"),
    ("heads", "tensor"),
    ("mlp", "tensor"),
    ("vocabulary", "tensor"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What every training run has."""

    seed: int = 0
    # Batches of the whole run; the optimizer moves once in `optim.accumulate` of them.
    steps: int = 1000
    log_every: int = 20
    eval_every: int = 500
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
        for name, minimum in {**least, "keep": 2}.items():
            value = getattr(self, name)
            require(value >= minimum, f"{name} must be >= {minimum}, got {value}")


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
    # Weights of the losses beside L1. Squares find colours early; edges sharpen late.
    squares: float = 2.0
    edges: float = 0.5
    kl: float = 1e-4
    critic: CriticConfig = CriticConfig()

    def __post_init__(self):
        super().__post_init__()
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiTRun(RunConfig):
    """Train the DiT and its text encoder on encoded clips."""

    # Folder that an EncodeRun wrote; it holds the latents, the VAE and the tokenizer.
    latents: str = ""
    dit: DiTConfig = DiTConfig()
    text: TextConfig = TextConfig()
    packing: PackingConfig = PackingConfig()
    flow: FlowConfig = FlowConfig()


def to_json(config: Any) -> dict[str, Any]:
    """A config as plain data, its type's name included."""
    return {"kind": type(config).__name__, **dataclasses.asdict(config)}


def from_json(kind: Any, data: Any) -> Any:
    """Build a config dataclass from what `to_json` or `dataclasses.asdict` made.

    Raises:
      ValueError: the data has a field that the config has not.
    """
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        return _tuples(data)
    hints = typing.get_type_hints(kind)
    data = {name: value for name, value in data.items() if name != "kind"}
    unknown = sorted(set(data) - set(hints))
    require(
        not unknown,
        f"{kind.__name__} has no field {unknown}: these weights or this run are of "
        "another version of sora_jax",
    )
    return kind(**{name: from_json(hints[name], data[name]) for name in data})


def _tuples(data: Any) -> Any:
    """Lists, which JSON makes of tuples, back to tuples."""
    return tuple(_tuples(item) for item in data) if isinstance(data, list) else data

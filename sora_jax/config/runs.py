"""The runs that a config file returns."""

from __future__ import annotations

import dataclasses
import math
import os
from typing import Any

from sora_jax.config.data import PackingConfig, PlaygroundConfig
from sora_jax.config.models import CriticConfig, DiTConfig, TextConfig, VAEConfig
from sora_jax.config.plain import require, require_within
from sora_jax.config.training import FlowConfig, RunConfig
from sora_jax.config.weights import Conditioning


def train_split(data: PlaygroundConfig) -> tuple[bool, str]:
    """The rule that what is held out is not trained on."""
    return (
        data.split == "train",
        f"data.split must be 'train', got {data.split!r}: the test split is held out",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class VAERun(RunConfig):
    """Train the VAE on clips."""

    # Clips of one length and one size: a batch is one array.
    data: PlaygroundConfig = PlaygroundConfig(
        frames=((17, 1.0),), sizes=(((64, 64), 1.0),)
    )
    # The network.
    vae: VAEConfig = VAEConfig()
    # Clips of a step.
    batch: int = 8
    # Pixels of the window that is cut around an object; 0 trains on whole frames.
    window: int = 0
    # A VAE to start from: the workdir of a run on images, or a weights folder.
    start_from: str = ""
    # Weight of the squared error beside L1; it finds colours early.
    squares: float = 2.0
    # Weight of the error of gradients beside L1; it sharpens late.
    edges: float = 0.5
    # Weight of the latents' divergence from a normal distribution.
    kl: float = 1e-4
    # A discriminator that judges reconstructions.
    critic: CriticConfig = CriticConfig()

    def __post_init__(self):
        super().__post_init__()
        frames = [choice for choice, _ in self.data.frames]
        sizes = [choice for choice, _ in self.data.sizes]
        cell, time = self.vae.space_factor, self.vae.time_factor
        smallest = min(side for size in sizes for side in size)
        one = "must have one entry when a VAE is trained (a batch is one array)"
        weights = ("squares", "edges", "kl")
        require_within(
            "",
            self,
            {"batch": (1, math.inf), **{name: (0, math.inf) for name in weights}},
            train_split(self.data),
            (len(frames) == 1, f"data.frames {one}, got {frames}"),
            (len(sizes) == 1, f"data.sizes {one}, got {sizes}"),
            (
                all((length - 1) % time == 0 for length in frames),
                f"data.frames must be 1 + {time}k, got {frames}",
            ),
            (
                all(side % cell == 0 for size in sizes for side in size),
                f"data.sizes must be multiples of {cell}, got {sizes}",
            ),
            (
                0 <= self.window <= smallest and self.window % cell == 0,
                f"window must be 0 or a multiple of {cell} up to {smallest} (the "
                f"smallest side of data.sizes), got {self.window}",
            ),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncodeRun:
    """Encode clips and their drawn conditions once, for the DiT run to read."""

    # Of the drawn conditions.
    seed: int = 0
    # Which clips.
    data: PlaygroundConfig = PlaygroundConfig(length=20_000)
    # Folder of the trained VAE: a VAE run's workdir, weights, or encoded clips.
    vae: str = ""
    # Share of clips that get a condition beside "nothing is known".
    conditioned: float = 0.5
    # Clips of one shape encoded together.
    batch: int = 16
    # Clips of the test split, encoded beside the training clips.
    held_out_clips: int = 256
    # Folder of weights, or of encoded clips, whose tokenizer is taken; without one, a
    # tokenizer is learned from the captions.
    tokenizer: str = ""
    # Pieces that such a tokenizer has.
    vocabulary: int = 640
    # Clips from whose captions it is learned.
    tokenizer_clips: int = 20_000
    # Clips from which mean and deviation of the latents are measured.
    statistics_clips: int = 256

    def __post_init__(self):
        least = {"batch": 1, "held_out_clips": 1, "statistics_clips": 1}
        least |= {"tokenizer_clips": 1, "vocabulary": 300, "seed": 0}
        bounds = {name: (low, math.inf) for name, low in least.items()}
        require_within(
            "", self, {**bounds, "conditioned": (0, 1)}, train_split(self.data)
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiTRun(RunConfig):
    """Train the DiT on encoded clips, and its text encoder unless another's reads."""

    # Folder that an EncodeRun wrote; it holds the latents, the VAE and the tokenizer.
    latents: str = ""
    # Folders of more clips to learn from, encoded by the same VAE. None of them is
    # evaluated on.
    more_latents: tuple[str, ...] = ()
    # What this run starts from: a weights folder, or the workdir of a DiT run, of which
    # the averaged parameters are taken.
    start_from: str = ""
    # Weights folder whose text encoder and tokenizer read the captions, and do not
    # change; without one, a text encoder learns with the DiT.
    text_from: str = ""
    # The transformer.
    dit: DiTConfig = DiTConfig()
    # The text encoder.
    text: TextConfig = TextConfig()
    # How clips are laid into rows.
    packing: PackingConfig = PackingConfig()
    # Which levels of noise are trained on.
    flow: FlowConfig = FlowConfig()

    def __post_init__(self):
        super().__post_init__()
        read = dict(self.dit.contexts).get("text")
        require(
            read == self.text.width,
            f"dit.contexts must read text of width {self.text.width} (text.width), "
            f"got {read}",
        )
        more = self.more_latents
        require(
            all(more) and len({self.latents, *more}) == 1 + len(more),
            f"more_latents must be other folders than latents ({self.latents!r}), each "
            f"once, got {more}: leave out what is there already",
        )

    @property
    def heads(self) -> int:
        """Heads of attention that devices may divide among them."""
        return self.dit.heads

    @property
    def conditioning(self) -> Conditioning:
        """How known pixels enter what this run trains."""
        if self.dit.extra_channels:
            return "channels"
        return "tokens" if self.packing.clean_prefix > 0 else "nothing"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Series:
    """Runs one after another, each in a folder of its own below one workdir."""

    # Folder that the runs' own configs speak of; in its place stands the workdir.
    root: str = "runs"
    # (config file, perhaps with :argument; folder below the root) of each run.
    stages: tuple[tuple[str, str], ...] = ()

    def placed(self, run: Any, workdir: str) -> Any:
        """A run with the folders that it reads below the workdir."""

        def place(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(map(place, value))
            if isinstance(value, str) and value.startswith(f"{self.root}/"):
                return os.path.join(workdir, value.removeprefix(f"{self.root}/"))
            return value

        fields = {
            field.name: place(getattr(run, field.name))
            for field in dataclasses.fields(run)
        }
        return dataclasses.replace(run, **fields)

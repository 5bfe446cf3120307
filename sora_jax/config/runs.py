"""Configs of runs, which config files return."""

from __future__ import annotations

import dataclasses
import math
import os
from typing import Any

from sora_jax.config.clips import ClipsConfig
from sora_jax.config.data import PackingConfig, PlaygroundConfig
from sora_jax.config.encoders import TextConfig
from sora_jax.config.models import CriticConfig, DiTConfig, VAEConfig
from sora_jax.config.plain import require, require_within
from sora_jax.config.training import FlowConfig, RunConfig
from sora_jax.config.weights import AdapterConfig, Conditioning

# What a run reads: the playground, or stored clips.
DataConfig = PlaygroundConfig | ClipsConfig
MOST_REPEATS = 1000  # of a clip in an epoch


def train_split(data: DataConfig, field: str = "data") -> tuple[bool, str]:
    """Return the rule that held-out clips and phrasings are not trained on."""
    if isinstance(data, ClipsConfig):
        return (
            data.split != data.held_out,
            f"{field}.held_out must be another split than {field}.split, got "
            f"{data.split!r}",
        )
    return (
        data.split == "train" and data.phrasing != "held_out",
        f"{field} must be of split 'train' and of a phrasing that is not held out, got "
        f"split {data.split!r} and phrasing {data.phrasing!r}",
    )


def train_splits(data: tuple[DataConfig, ...], field: str) -> list[tuple[bool, str]]:
    """Return the rules of several sources of clips."""
    return [train_split(each, f"{field}[{i}]") for i, each in enumerate(data)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class VAERun(RunConfig):
    """Train the VAE on clips."""

    # The clips: of one length, and of one size unless `window` crops them.
    data: DataConfig = PlaygroundConfig(frames=((17, 1.0),), sizes=(((64, 64), 1.0),))
    # More clips, of the same length; not used in evaluation.
    more_data: tuple[DataConfig, ...] = ()
    # The network.
    vae: VAEConfig = VAEConfig()
    # Clips of a step.
    batch: int = 8
    # Processes that decode clips on each host; 0 decodes in threads.
    workers: int = 0
    # Side in pixels of the crop around an object; 0 trains on whole frames.
    window: int = 0
    # A VAE to start from: the workdir of a run on images, or a weights folder.
    start_from: str = ""
    # Weight of the squared error next to L1; it learns colours early.
    squares: float = 2.0
    # Weight of the gradient error next to L1; it sharpens late.
    edges: float = 0.5
    # Weight of the KL divergence.
    kl: float = 1e-4
    # A discriminator that judges reconstructions.
    critic: CriticConfig = CriticConfig()

    def __post_init__(self):
        super().__post_init__()
        data = (self.data, *self.more_data)
        frames = sorted({length for each in data for length in each.lengths})
        sizes = sorted({size for each in data for size in each.shapes})
        cell, time = self.vae.space_factor, self.vae.time_factor
        smallest = min((side for size in sizes for side in size), default=0)
        one = "must have one entry each, as a batch is one array"
        weights = ("squares", "edges", "kl")
        require_within(
            "",
            self,
            {
                "batch": (1, math.inf),
                **{name: (0, math.inf) for name in (*weights, "workers")},
            },
            train_split(self.data),
            *train_splits(self.more_data, "more_data"),
            (
                all(len(each.lengths) == 1 for each in data),
                f"frames of data and more_data {one}, got {frames}",
            ),
            (
                len(frames) == 1,
                f"data and more_data must have one length in common, got {frames}",
            ),
            (
                all(len(each.shapes) == 1 for each in data),
                f"sizes of data and more_data {one}, got {sizes}",
            ),
            (
                len(sizes) <= 1 or self.window > 0,
                f"window must be > 0 where data and more_data differ in size, got "
                f"{sizes}",
            ),
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
    """Encode clips, with random conditions, for DiT runs."""

    # Seed of the conditions.
    seed: int = 0
    # Which clips.
    data: DataConfig = PlaygroundConfig(length=20_000)
    # Folder of the trained VAE: a VAE run's workdir, weights, or encoded clips.
    vae: str = ""
    # Share of clips with a condition.
    conditioned: float = 0.5
    # Encoded draws of each clip, of which training takes one in each epoch: a condition
    # and, for clips with transparency, a background.
    draws: int = 1
    # Clips of one shape encoded together.
    batch: int = 16
    # Clips of a shard, a file: what a host encodes at a time and holds in memory, and
    # what a kill loses.
    shard: int = 256
    # Clips of the test split, encoded beside the training clips.
    held_out_clips: int = 256
    # Folder of weights or of encoded clips whose tokenizer to use; by default one is
    # trained on the captions.
    tokenizer: str = ""
    # Weights folder whose text encoder encodes every caption once, for DiT runs that
    # read its states (text_states); by default captions are encoded as they are read.
    text_from: str = ""
    # Vocabulary size of a trained tokenizer.
    vocabulary: int = 640
    # Clips of each source whose captions train the tokenizer.
    tokenizer_clips: int = 20_000
    # More sources whose captions train the tokenizer: what training mixes with data.
    tokenizer_data: tuple[DataConfig, ...] = ()
    # Clips from which mean and deviation of the latents are measured.
    statistics_clips: int = 256

    def __post_init__(self):
        least = {
            "batch": 1,
            "held_out_clips": 1,
            "statistics_clips": 1,
            "draws": 1,
            "shard": 1,
        }
        least |= {"tokenizer_clips": 1, "vocabulary": 300, "seed": 0}
        bounds = {name: (low, math.inf) for name, low in least.items()}
        require_within(
            "",
            self,
            {**bounds, "conditioned": (0, 1)},
            train_split(self.data),
            *train_splits(self.tokenizer_data, "tokenizer_data"),
            (
                not (self.tokenizer and self.tokenizer_data),
                "tokenizer_data trains a tokenizer, and must be empty beside tokenizer "
                f"({self.tokenizer!r}), got {len(self.tokenizer_data)} sources",
            ),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiTRun(RunConfig):
    """Train the DiT on encoded clips, and a text encoder unless `text_from` is set."""

    # Folder that an EncodeRun wrote; it holds the latents, the VAE and the tokenizer.
    latents: str = ""
    # Folders of more training clips, encoded by the same VAE; not used in evaluation.
    more_latents: tuple[str, ...] = ()
    # How often clips of each folder are shown, of latents first: whole multiples of the
    # least, within 1%, up to 1000. None given: all alike.
    weights: tuple[float, ...] = ()
    # Initial parameters: a weights folder, or the workdir of a DiT run, whose averaged
    # parameters are used.
    start_from: str = ""
    # Weights folder whose text encoder and tokenizer are used, frozen; by default a
    # text encoder is trained with the DiT.
    text_from: str = ""
    # Read the text states that encoding has cached (EncodeRun.text_from): the text
    # encoder is not loaded.
    text_states: bool = False
    # The transformer.
    dit: DiTConfig = DiTConfig()
    # The text encoder.
    text: TextConfig = TextConfig()
    # How clips are packed into rows.
    packing: PackingConfig = PackingConfig()
    # Distribution of the noise levels.
    flow: FlowConfig = FlowConfig()
    # Low-rank factors beside kernels of the transformer; with trainable "adapters",
    # they alone are trained.
    adapter: AdapterConfig | None = None
    # Prompts of the videos that evaluations show; by default the playground's, or of
    # stored clips some captions of held-out ones.
    prompts: tuple[str, ...] = ()
    # (height, width) of these videos.
    prompt_size: tuple[int, int] = (64, 64)

    def __post_init__(self):
        super().__post_init__()
        read = dict(self.dit.contexts).get("text")
        require(
            read == self.text.width,
            f"dit.contexts must read text of width {self.text.width} (text.width), "
            f"got {read}",
        )
        require(
            (self.trainable == "adapters") <= (self.adapter is not None),
            "trainable 'adapters' needs their config in the field adapter, got None",
        )
        require(
            bool(self.text_from) or not self.text_states,
            "text_states needs text_from, the weights that encoded them, got ''",
        )
        more = self.more_latents
        require(
            all(more) and len({self.latents, *more}) == 1 + len(more),
            f"more_latents must be other folders than latents ({self.latents!r}), each "
            f"once, got {more}: leave out what is there already",
        )
        require(
            not self.weights
            or (len(self.weights) == 1 + len(more) and min(self.weights) > 0),
            f"weights must be > 0, one for each of {1 + len(more)} folders of latents, "
            f"got {self.weights}",
        )
        ratios = [weight / min(self.weights) for weight in self.weights]
        require(
            all(
                ratio <= MOST_REPEATS and abs(ratio - round(ratio)) <= 0.01 * ratio
                for ratio in ratios
            ),
            f"weights must be whole multiples of the least, up to {MOST_REPEATS}: an "
            f"epoch shows every clip a whole number of times, got {self.weights}",
        )

    @property
    def heads(self) -> int:
        """Attention heads, which devices may divide."""
        return self.dit.heads

    @property
    def repeats(self) -> tuple[int, ...]:
        """How often an epoch shows the clips of each folder."""
        folders = 1 + len(self.more_latents)
        weights = self.weights or (1.0,) * folders
        return tuple(round(weight / min(weights)) for weight in weights)

    @property
    def conditioning(self) -> Conditioning:
        """How the trained model takes given pixels."""
        if self.dit.extra_channels:
            return "channels"
        return "tokens" if self.packing.clean_prefix > 0 else "nothing"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Series:
    """A sequence of runs, each in its own folder below one workdir."""

    # Prefix of folders in the runs' configs, which the workdir replaces.
    root: str = "runs"
    # (config file, perhaps with :argument; folder below the root) of each run.
    stages: tuple[tuple[str, str], ...] = ()

    def placed(self, run: Any, workdir: str) -> Any:
        """Replace the root by the workdir in the folders of a run."""

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

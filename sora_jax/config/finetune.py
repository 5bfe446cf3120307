"""Config of fine-tuning: a model goes on learning from somebody's clips."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from sora_jax.config.plain import FPS, require_within
from sora_jax.config.training import MeshConfig
from sora_jax.config.weights import AdapterConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class FineTune:
    """Fine-tune a model: encode clips with its VAE, then train its transformer."""

    # A folder of clips with captions, or of a TFDS dataset (see ClipsConfig.path).
    data: str = ""
    # (feature, feature) of video and caption, for records of other datasets.
    fields: tuple[str, str] = ("video", "captions")
    # Weights folder; by default the one that ships with the package.
    start_from: str = ""
    # "lora" trains factors beside kernels, a file of a few megabytes; "full" trains
    # every parameter of the transformer.
    method: Literal["lora", "full"] = "lora"
    # Rank, alpha and targets of the factors.
    lora: AdapterConfig = AdapterConfig(rank=32, alpha=32.0)
    # Whether the factors are also written in PEFT's form, into the folder peft.
    peft: bool = False
    # Seed of order and noise.
    seed: int = 0
    # Batches.
    steps: int = 1000
    # Clips of the longest length in a batch.
    batch: int = 4
    # Learning rate.
    lr: float = 1e-3
    # Frames per second of the clips; 0 takes that of the weights.
    fps: float = 0.0
    # Most frames of a clip; 0 takes 17, or the next length that the VAE has.
    frames: int = 0
    # Most pixels of a frame.
    pixels: int = 64 * 64
    # Encoded draws of each clip: conditions and backgrounds.
    draws: int = 4
    # Share of draws with given pixels.
    conditioned: float = 0.3
    # Held-out clips, at most.
    held_out_clips: int = 32
    # Prompts of which videos are made at each evaluation; by default some captions of
    # held-out clips.
    prompts: tuple[str, ...] = ()
    # Steps between two evaluations, and one at the end.
    eval_every: int = 500
    # Steps between two checkpoints, and one at the end.
    checkpoint_every: int = 200
    # How CPUs round matmul inputs (see RunConfig).
    cpu_matmul_dtype: Literal["float32", "bfloat16"] = "float32"
    # How devices are laid out.
    mesh: MeshConfig = MeshConfig()

    def __post_init__(self):
        least: dict[str, tuple[int | float, int | float]] = {
            name: (1, math.inf)
            for name in ("steps", "batch", "draws", "eval_every", "checkpoint_every")
        }
        least |= {"frames": (0, math.inf), "seed": (0, math.inf)}
        least |= {"pixels": (256, math.inf)}
        least |= {"conditioned": (0, 1), "held_out_clips": (1, math.inf)}
        slowest, fastest = FPS
        require_within(
            "",
            self,
            least,
            (self.lr > 0, f"lr must be > 0, got {self.lr}"),
            (
                self.method == "lora" or not self.peft,
                "peft must be False unless method is 'lora', whose factors it writes",
            ),
            (
                self.fps == 0 or slowest <= self.fps <= fastest,
                f"fps must be 0 (that of the weights), or from {slowest:.3g} to "
                f"{fastest:.0f}, got {self.fps}",
            ),
        )

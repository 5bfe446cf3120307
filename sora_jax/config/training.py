"""Configs of the optimizer, the mesh, noise levels, and all training runs."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from sora_jax.config.plain import require, require_within
from sora_jax.config.trainable import trainable_pattern

# From logical axes to those of the mesh.
Rules = tuple[tuple[str, str | tuple[str, ...] | None], ...]
RULES: Rules = (
    ("batch", ("data", "fsdp")),
    ("tokens", ("ring", "ulysses")),
    # Parameters are also sharded over the context axes, and gathered layer by layer.
    ("embed", ("fsdp", "ring", "ulysses")),
    ("heads", "tensor"),
    ("mlp", "tensor"),
    ("vocabulary", "tensor"),
)
# Of the VAE, on a mesh of its own (`sharding.frames_mesh`).
FRAME_RULES: Rules = (("height", "height"), ("width", "width"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """Optimizer and schedule: warm-up, constant, then linear decay to zero."""

    # AdamW, or Muon for the matrices of hidden layers.
    name: Literal["adamw", "muon"] = "adamw"
    # Learning rate between warm-up and decay.
    lr: float = 1e-3
    # Steps in which the rate rises from zero.
    warmup: int = 100
    # Share of the run, at its end, in which the rate decays.
    decay: float = 0.3
    # Decay of Adam's two averages.
    betas: tuple[float, float] = (0.9, 0.99)
    # Decoupled weight decay (AdamW) of matrices: lr times this is taken away each step.
    weight_decay: float = 0.01
    # Largest global norm of a gradient; None switches clipping off.
    clip: float | None = 1.0
    # Micro-batches whose gradients are averaged for one update.
    accumulate: int = 1
    # Decay per step of the parameter average, which is evaluated and published.
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
    """Devices along each mesh axis; one may be -1, for all remaining devices."""

    # Replicas of the parameters, each with its part of the batch.
    data: int = -1
    # Devices that share the parameters, and a part of the batch.
    fsdp: int = 1
    # Devices that share the tokens of a row.
    context: int = 1
    # Devices that share heads and the width of the MLP.
    tensor: int = 1
    # Devices of `context` that exchange heads for tokens (Ulysses); if fewer than all,
    # such groups form a ring for the keys. -1: as many as divide the heads.
    ulysses: int = -1
    # Slices along `data`.
    data_slices: int = 1
    # Slices along `fsdp`.
    fsdp_slices: int = 1

    def __post_init__(self):
        axes = ("data", "fsdp", "context", "tensor")
        sizes = {name: getattr(self, name) for name in axes}
        slices = (self.data_slices, self.fsdp_slices)
        require(
            all(size >= 1 or size == -1 for size in (*sizes.values(), self.ulysses))
            and list(sizes.values()).count(-1) <= 1,
            f"mesh axes must be >= 1, and at most one of them -1, got {sizes}, "
            f"ulysses {self.ulysses}",
        )
        require(min(slices) >= 1, f"mesh slices must be >= 1, got {slices}")


# How devices share one video.
SAMPLING_MESH = MeshConfig(data=1, context=-1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlowConfig:
    """Flow matching: t is logit-normal, then shifted by the number of its tokens.

    With n tokens of a noise level (a sample's, or those of a block) the shift is
    a = shift * sqrt(n / shift_tokens) and
    t' = a t / (1 + (a - 1) t).
    """

    # Mean of the logit of t.
    mean: float = 0.0
    # Standard deviation of the logit of t.
    std: float = 1.0
    # Shift of noise levels towards noise; 1 for none.
    shift: float = 1.0
    # Tokens of a level at which the shift applies unscaled.
    shift_tokens: int = 80

    def __post_init__(self):
        fields = {
            name: getattr(self, name) for name in ("std", "shift", "shift_tokens")
        }
        rules = (
            (value > 0, f"flow.{name} must be > 0, got {value}")
            for name, value in fields.items()
        )
        require_within("flow.", self, {}, *rules)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Fields of every training run."""

    # Seed of initial parameters, order of clips, and noise.
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
    # To which matmul inputs are rounded on a CPU (sums stay float32).
    # With units for bfloat16 (Intel's AMX) a step then takes two thirds.
    cpu_matmul_dtype: Literal["float32", "bfloat16"] = "float32"
    # Folder with initial parameters; its kind depends on the run.
    start_from: str = ""
    # What is trained: "all", "adapters", of a VAE "decoder", the name of a network, or
    # a regular expression of paths such as "dit/blocks/.*". Everything else keeps the
    # values of `start_from`.
    trainable: str = "all"
    # The optimizer.
    optim: OptimConfig = OptimConfig()
    # How devices are laid out.
    mesh: MeshConfig = MeshConfig()
    # (logical axis, mesh axes) pairs: how arrays are sharded.
    rules: Rules = RULES

    def __post_init__(self):
        # Two checkpoints stay, because a kill may truncate the newest.
        least = {"steps": 1, "log_every": 1, "eval_every": 1, "checkpoint_every": 1}
        least |= {"keep": 2, "seed": 0}
        bounds = {name: (low, math.inf) for name, low in least.items()}
        trainable_pattern(self.trainable)
        require_within(
            "",
            self,
            bounds,
            (
                self.trainable == "all" or bool(self.start_from),
                f"trainable must be 'all' without start_from, got {self.trainable!r}: "
                "frozen parameters would be random",
            ),
            (
                self.optim.accumulate <= self.steps,
                f"optim.accumulate must be at most steps ({self.steps}), got "
                f"{self.optim.accumulate}: no update would ever be made",
            ),
        )

    @property
    def heads(self) -> int:
        """Attention heads, which devices may divide; 0 if there are none."""
        return 0

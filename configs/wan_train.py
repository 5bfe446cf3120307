"""Train Wan 2.1's transformers on, or from nothing: `wan_train.py:1b3`, `:14b`.

Clips are encoded with the model's own VAE (an EncodeRun whose `vae` is DIR; whole clips
pass through it, a few at once), and its text encoder reads their captions without
learning.

Hardware: TPU v5e-16 for the 1.3B, v5p-32 for the 14B; `python -m sora_jax.plan` tells
  for any other, and benchmarks/pods.py for some. Batches of 4 clips.
Expected: nobody has paid for a run; what is known is what XLA compiles.
Command:
  python train.py --config=configs/wan_train.py:1b3 --workdir=DIR2 \\
    --config.latents=LATENTS --config.start_from=DIR --config.text_from=DIR
"""

import dataclasses

from sora_jax.config import (
    DiTRun,
    FlowConfig,
    MeshConfig,
    OptimConfig,
    PackingConfig,
)
from sora_jax.families.wan import models

# 81 frames of 480 x 832, and of 720 x 1280, and a little to divide.
MODELS = {"1b3": (models.WAN21_1B3, 32_768), "14b": (models.WAN21_14B, 75_776)}


def get_config(name: str = "1b3") -> DiTRun:
    """Return the run of a model."""
    if name not in MODELS:
        raise ValueError(f"wan_train.py takes one of {', '.join(MODELS)}, got {name!r}")
    model, tokens = MODELS[name]
    return DiTRun(
        text_from="weights",
        dit=dataclasses.replace(model.dit, remat="attention"),
        text=model.text,
        # One clip fills a row; each has its caption.
        packing=PackingConfig(
            tokens=tokens, rows=4, samples=1, clean_prefix=0.0, mid_clip=0.0
        ),
        optim=OptimConfig(lr=1e-5, warmup=500, ema_decay=0.9999),
        # The levels that the model samples at, for clips of this size.
        flow=FlowConfig(shift=model.sampling.shift, shift_tokens=tokens),
        mesh=MeshConfig(data=1, fsdp=4, context=-1),
    )

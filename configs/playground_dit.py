"""The DiT and text encoder of the default model: images, clips, motion, everything.

Images cost a fifth of a clip and show all but motion. Which way things move is learned
on clips of mostly single objects, with nothing known, near to noise: after 13,000 steps
on the mixture, exchanging "left" and "right" in captions still cost no loss
(benchmarks/directions.py); after 1,500 such steps it did.

Hardware: 2 CPU cores, about 30 minutes, 120, 45, 60 and 65.
Expected: held-out loss 0.16 on images (of images), 0.25 on everything (of all clips),
  0.26 after it was seen again, 0.247 at the end; then more than half of the videos of
  single objects have all that their prompts say, of one in six before motion.
Command:
  python train.py --config=configs/playground_dit.py:images --workdir=runs/dit_images
  python train.py --config=configs/playground_dit.py:clips --workdir=runs/dit_clips
  python train.py --config=configs/playground_dit.py:motion --workdir=runs/dit_motion
  python train.py --config=configs/playground_dit.py:again --workdir=runs/dit_again
  python train.py --config=configs/playground_dit.py --workdir=runs/dit
"""

import dataclasses
from typing import NamedTuple

from sora_jax.config import (
    DiTConfig,
    DiTRun,
    FlowConfig,
    OptimConfig,
    PackingConfig,
    TextConfig,
)


class Stage(NamedTuple):
    """What sets one stage apart."""

    steps: int
    lr: float
    decay: float
    shift: float
    packing: PackingConfig
    start: str = ""
    latents: str = "runs/latents"
    more: tuple[str, ...] = ()


ROWS = PackingConfig(tokens=160, rows=8)
EVERYTHING = dataclasses.replace(ROWS, samples=6)
STAGES = {
    "images": Stage(
        1800, 5e-3, 0.3, 2.0, dataclasses.replace(ROWS, samples=10, longest=1)
    ),
    "clips": Stage(13_000, 4e-3, 0.5, 2.0, EVERYTHING, start="runs/dit_images"),
    "motion": Stage(
        4000,
        5e-3,
        0.0,
        3.0,
        dataclasses.replace(ROWS, samples=3, clean_prefix=0.0, headless=0.0),
        start="runs/dit_clips",
        latents="runs/latents_motion",
    ),
    "again": Stage(5000, 4e-3, 0.6, 3.0, EVERYTHING, start="runs/dit_motion"),
    "last": Stage(
        8000,
        4e-3,
        0.625,
        3.0,
        EVERYTHING,
        start="runs/dit_again",
        more=("runs/latents_motion",),
    ),
}


def get_config(name: str = "last") -> DiTRun:
    """Return the run of one stage; each starts from the one before."""
    if name not in STAGES:
        raise ValueError(
            f"playground_dit.py takes one of {', '.join(STAGES)}, got {name!r}"
        )
    stage = STAGES[name]
    return DiTRun(
        latents=stage.latents,
        more_latents=stage.more,
        start_from=stage.start,
        steps=stage.steps,
        # On CPU few wide layers and heads cost less than many narrow ones; a loop over
        # so few layers is written out. Told its place, a token learns sooner what moves
        # where: in 1,000 steps the loss is 0.47 with, and 0.50 without.
        dit=DiTConfig(
            width=192, depth=6, heads=2, mlp=512, places=True, theta=100.0, unroll=6
        ),
        text=TextConfig(unroll=2),
        packing=stage.packing,
        # Levels nearer to noise, where prompts are learned: in 240 steps the gap
        # between right and wrong captions at t = 0.9 is 0.11 with 2, 0.05 with 1.
        flow=FlowConfig(shift=stage.shift),
        optim=OptimConfig(
            name="muon", lr=stage.lr, warmup=100, decay=stage.decay, ema_decay=0.998
        ),
        products="bfloat16",
        eval_every=500,
        checkpoint_every=200,
    )

"""The DiT and text encoder of the default model: images, then clips.

Images cost a fifth of a clip and show all but motion.

Hardware: 2 CPU cores, about 30 minutes and 4 hours.
Expected: held-out loss 0.27 on images, then 0.25 on all; backgrounds, light and colours
  are right.
Command:
  python train.py --config=configs/playground_dit.py:images --workdir=runs/dit_images
  python train.py --config=configs/playground_dit.py --workdir=runs/dit
"""

from sora_jax.config import (
    DiTConfig,
    DiTRun,
    FlowConfig,
    OptimConfig,
    PackingConfig,
    TextConfig,
)

STAGES = ("images", "clips")


def get_config(name: str = "clips") -> DiTRun:
    """Return the run of one stage; the clips start from the images."""
    if name not in STAGES:
        raise ValueError(
            f"playground_dit.py takes one of {', '.join(STAGES)}, got {name!r}"
        )
    images = name == "images"
    return DiTRun(
        latents="runs/latents",
        start_from="" if images else "runs/dit_images",
        steps=1_800 if images else 12_000,
        # On CPU few wide layers and heads cost less than many narrow ones; a loop over
        # so few layers is written out. Told its place, a token learns sooner what moves
        # where: in 1,000 steps the loss is 0.47 with, and 0.50 without.
        dit=DiTConfig(
            width=192, depth=6, heads=2, mlp=512, places=True, theta=100.0, unroll=6
        ),
        text=TextConfig(unroll=2),
        packing=PackingConfig(
            tokens=160,
            rows=8,
            samples=10 if images else 6,
            longest=1 if images else 0,
        ),
        # Levels nearer to noise, where prompts are learned: in 240 steps the gap
        # between right and wrong captions at t = 0.9 is 0.11 with 2, 0.05 with 1.
        flow=FlowConfig(shift=2.0),
        optim=OptimConfig(
            name="muon",
            lr=5e-3,
            warmup=100,
            decay=0.3 if images else 0.5,
            ema_decay=0.998,
        ),
        products="bfloat16",
        eval_every=500 if images else 1000,
        checkpoint_every=200,
    )

"""The DiT and text encoder of the default model.

Hardware: 2 CPU cores, about 45 minutes.
Expected: held-out loss 0.38; backgrounds and most colours are right.
Command:  python train.py --config=configs/playground_dit.py --workdir=runs/dit
"""

from sora_jax.config import DiTRun, OptimConfig, PackingConfig


def get_config(arg: str | None = None) -> DiTRun:
    """Return the run."""
    return DiTRun(
        latents="runs/latents",
        steps=2200,
        packing=PackingConfig(tokens=160, rows=12, samples=4),
        optim=OptimConfig(name="muon", lr=2e-3, warmup=100, decay=0.6, ema_decay=0.995),
        eval_every=1000,
        checkpoint_every=100,
    )

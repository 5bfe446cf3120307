"""A DiT of a size for tests, on the clips of encode_debug.py.

Hardware: any.
Expected: eight steps and four checkpoints, of which two stay.
Command:  python train.py --config=configs/dit_debug.py --workdir=runs/dit_debug
"""

from sora_jax.config import (
    DiTConfig,
    DiTRun,
    OptimConfig,
    PackingConfig,
    TextConfig,
)


def get_config() -> DiTRun:
    """Return the run."""
    return DiTRun(
        latents="runs/latents_debug",
        steps=8,
        dit=DiTConfig(
            channels=4,
            extra_channels=8,
            width=24,
            depth=2,
            heads=2,
            mlp=32,
            time_features=16,
            contexts=(("text", 12),),
        ),
        text=TextConfig(
            vocabulary=400, width=12, depth=1, heads=2, head_dim=6, mlp=16, pad_to=16
        ),
        packing=PackingConfig(tokens=64, rows=2, samples=4),
        optim=OptimConfig(name="muon", warmup=1),
        log_every=1,
        eval_every=100,
        checkpoint_every=2,
    )

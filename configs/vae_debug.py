"""A VAE of a size for tests: it learns nothing, in seconds.

Hardware: any.
Expected: eight steps and four checkpoints, of which two stay.
Command:  python train.py --config=configs/vae_debug.py --workdir=runs/vae_debug
"""

from sora_jax.config import OptimConfig, PlaygroundConfig, VAEConfig, VAERun


def get_config() -> VAERun:
    """Return the run."""
    return VAERun(
        steps=8,
        batch=1,
        vae=VAEConfig(
            channels=4,
            encoder_width=4,
            decoder_width=4,
            multipliers=(1, 1, 1),
        ),
        data=PlaygroundConfig(frames=((5, 1.0),), sizes=(((64, 64), 1.0),)),
        optim=OptimConfig(warmup=1),
        log_every=1,
        eval_every=100,
        checkpoint_every=2,
    )

"""The video VAE of the default model: images first, then clips.

Hardware: 2 CPU cores, about 10 + 40 minutes.
Expected: 30 dB on held-out clips.
Command:
  python train.py --config=configs/playground_vae.py:images --workdir=runs/vae_images
  python train.py --config=configs/playground_vae.py --workdir=runs/vae
"""

from sora_jax.config import OptimConfig, PlaygroundConfig, VAERun


def get_config(arg: str | None = None) -> VAERun:
    """Return the run on clips, or with "images" the run before it."""
    if arg not in (None, "images"):
        raise ValueError(f"playground_vae.py takes 'images' or nothing, got {arg!r}")
    images = arg == "images"
    return VAERun(
        steps=700 if images else 2500,
        batch=16 if images else 4,
        start_from="" if images else "runs/vae_images",
        data=PlaygroundConfig(
            frames=((1 if images else 9, 1.0),), sizes=(((64, 64), 1.0),)
        ),
        optim=OptimConfig(
            name="muon",
            lr=1e-2,
            warmup=30,
            decay=0.4 if images else 0.6,
            ema_decay=0.99,
        ),
        eval_every=100,
        checkpoint_every=100,
    )

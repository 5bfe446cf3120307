"""The video VAE of the default model: images, clips, windows on objects, smoothing.

When the clips are encoded, the decoder alone goes on learning, for the same latents.

Hardware: 2 CPU cores, about 10 + 30 + 25 + 40 + 40 + 50 minutes.
Expected: 31.4 dB on held-out images, 26.6 on 9 frames; 30.3, 32.1, 33.0 and 34.3 on 17.
  (The shipped weights saw a change in their `smooth` stage: for its first 1,500 steps
  the first frame skipped the convolutions in time; its last 900 were as now.)
Command:
  python train.py --config=configs/playground_vae.py:images --workdir=runs/vae_images
  python train.py --config=configs/playground_vae.py:short --workdir=runs/vae_short
  python train.py --config=configs/playground_vae.py:windows --workdir=runs/vae_windows
  python train.py --config=configs/playground_vae.py:sharp --workdir=runs/vae_sharp
  python train.py --config=configs/playground_vae.py --workdir=runs/vae
  python train.py --config=configs/playground_vae.py:decoder --workdir=runs/vae_decoder
"""

from typing import NamedTuple

from sora_jax.config import OptimConfig, PlaygroundConfig, VAEConfig, VAERun


class Stage(NamedTuple):
    """What sets one stage apart."""

    steps: int
    batch: int
    frames: int
    window: int
    lr: float
    decay: float
    start: str


STAGES = {
    "images": Stage(700, 16, 1, 0, 1e-2, 0.4, ""),
    "short": Stage(900, 3, 9, 0, 5e-3, 0.7, "runs/vae_images"),
    "windows": Stage(1400, 8, 17, 32, 5e-3, 5 / 7, "runs/vae_short"),
    "sharp": Stage(2400, 8, 17, 32, 5e-3, 0.6, "runs/vae_windows"),
    "smooth": Stage(2400, 8, 17, 32, 5e-3, 0.7, "runs/vae_sharp"),
    "decoder": Stage(4000, 8, 17, 32, 5e-3, 0.7, "runs/latents"),
}


def get_config(name: str = "smooth") -> VAERun:
    """Return the run of one stage; each starts from the one before."""
    if name not in STAGES:
        raise ValueError(
            f"playground_vae.py takes one of {', '.join(STAGES)}, got {name!r}"
        )
    stage = STAGES[name]
    # Sharp first, then smooth: last, the latents are made easy to predict.
    smooth = name in ("smooth", "decoder")
    return VAERun(
        steps=stage.steps,
        batch=stage.batch,
        window=stage.window,
        start_from=stage.start,
        trainable="decoder" if name == "decoder" else "all",
        vae=VAEConfig(temporal_padding="first" if smooth else "zeros"),
        kl=2e-3 if smooth else 1e-4,
        data=PlaygroundConfig(frames=((stage.frames, 1.0),), sizes=(((64, 64), 1.0),)),
        optim=OptimConfig(
            name="muon", lr=stage.lr, warmup=30, decay=stage.decay, ema_decay=0.99
        ),
        eval_every=100,
        checkpoint_every=100,
    )

"""Encode a few clips with the VAE of vae_debug.py.

Hardware: any.
Expected: runs/latents_debug with 24 training and 12 held-out clips.
Command:  python train.py --config=configs/encode_debug.py --workdir=runs/latents_debug
"""

from sora_jax.config import EncodeRun, PlaygroundConfig


def get_config() -> EncodeRun:
    """Return the run."""
    return EncodeRun(
        vae="runs/vae_debug",
        held_out_clips=12,
        tokenizer_clips=500,
        statistics_clips=8,
        vocabulary=400,
        batch=4,
        data=PlaygroundConfig(
            length=24, frames=((1, 0.5), (9, 0.5)), sizes=(((64, 64), 1.0),)
        ),
    )

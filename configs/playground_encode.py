"""Encode playground clips for the default model's DiT.

Hardware: 2 CPU cores, about 11 minutes.
Expected: runs/latents with 10,240 training clips and 256 held-out clips.
Command:  python train.py --config=configs/playground_encode.py --workdir=runs/latents
"""

from sora_jax.config import EncodeRun, PlaygroundConfig


def get_config() -> EncodeRun:
    """Return the run."""
    return EncodeRun(
        vae="runs/vae",
        conditioned=0.3,
        data=PlaygroundConfig(
            length=10_240,
            frames=((1, 0.12), (9, 0.15), (17, 0.63), (33, 0.1)),
            sizes=(((64, 64), 0.75), ((48, 80), 0.15), ((80, 48), 0.1)),
            kinds=(
                ("one", 0.85),
                ("two", 0.05),
                ("collide", 0.03),
                ("behind", 0.04),
                ("cut", 0.03),
            ),
        ),
    )

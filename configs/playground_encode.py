"""Encode playground clips for the default model's DiT.

Hardware: 2 CPU cores, about 35 minutes.
Expected: runs/latents with 30,720 training clips and 256 held-out clips.
Command:  python train.py --config=configs/playground_encode.py --workdir=runs/latents
"""

from sora_jax.config import EncodeRun, PlaygroundConfig


def get_config() -> EncodeRun:
    """Return the run."""
    return EncodeRun(
        vae="runs/vae",
        # One training for every operation: half of the clips have something known.
        conditioned=0.5,
        data=PlaygroundConfig(
            length=30_720,
            frames=((1, 0.12), (9, 0.15), (17, 0.63), (33, 0.1)),
            sizes=(((64, 64), 0.75), ((48, 80), 0.15), ((80, 48), 0.1)),
            kinds=(
                ("one", 0.65),
                ("two", 0.12),
                ("collide", 0.06),
                ("behind", 0.09),
                ("cut", 0.08),
            ),
        ),
    )

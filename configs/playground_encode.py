"""Encode playground clips for the default model's DiT.

Hardware: 2 CPU cores, about 45 minutes.
Expected: runs/latents with 61,440 training clips, half of them images, and 256 others.
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
            length=61_440,
            # Images cost a fifth of a clip and show all but motion.
            frames=((1, 0.5), (9, 0.1), (17, 0.34), (33, 0.06)),
            sizes=(((64, 64), 0.75), ((48, 80), 0.15), ((80, 48), 0.1)),
            kinds=(
                ("one", 0.52),
                ("two", 0.18),
                ("collide", 0.07),
                ("behind", 0.08),
                ("cut", 0.08),
                ("turn", 0.07),
            ),
        ),
    )

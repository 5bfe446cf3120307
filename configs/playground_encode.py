"""Encode playground clips for the default model's DiT.

Hardware: 2 CPU cores, about 45 minutes, and 20.
Expected: runs/latents with 61,440 training clips, half of them images, and 256 others;
  runs/latents_motion with 20,480 clips, no images, nothing known, mostly one object.
Command:
  python train.py --config=configs/playground_encode.py --workdir=runs/latents
  python train.py --config=configs/playground_encode.py:motion \\
    --workdir=runs/latents_motion
"""

import dataclasses

from sora_jax.config import EncodeRun, PlaygroundConfig

NAMES = ("everything", "motion")

EVERYTHING = EncodeRun(
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


def get_config(name: str = "everything") -> EncodeRun:
    """Return the run: clips of everything, or those in which motion is learned."""
    if name not in NAMES:
        raise ValueError(
            f"playground_encode.py takes one of {', '.join(NAMES)}, got {name!r}"
        )
    if name == "everything":
        return EVERYTHING
    return dataclasses.replace(
        EVERYTHING,
        # Latents and captions as the DiT knows them.
        vae="runs/latents",
        tokenizer="runs/latents",
        conditioned=0.0,
        data=dataclasses.replace(
            EVERYTHING.data,
            seed=1,
            length=20_480,
            frames=((9, 0.15), (17, 0.85)),
            kinds=(("one", 0.9), ("two", 0.1)),
        ),
    )

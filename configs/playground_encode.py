"""Encode playground clips for the default model's DiT.

Hardware: 2 CPU cores, about 45 minutes, 20, 20, 8 and 20.
Expected: runs/latents with 61,440 training clips, half of them images, and 256 others;
  runs/latents_motion with 20,480 clips, no images, nothing known, mostly one object;
  runs/latents_pairs with as many, mostly of two objects that stand in a relation;
  runs/latents_pictures with 40,960 images of two objects;
  runs/latents_conditioned with 20,480 clips of everything, all with something known.
Command:
  python train.py --config=configs/playground_encode.py --workdir=runs/latents
  python train.py --config=configs/playground_encode.py:motion \\
    --workdir=runs/latents_motion
  python train.py --config=configs/playground_encode.py:pairs \\
    --workdir=runs/latents_pairs
  python train.py --config=configs/playground_encode.py:pictures \\
    --workdir=runs/latents_pictures
  python train.py --config=configs/playground_encode.py:conditioned \\
    --workdir=runs/latents_conditioned
"""

import dataclasses

from sora_jax.config import EncodeRun, PlaygroundConfig

CLIPS_OF_ALL = PlaygroundConfig(
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
)
EVERYTHING = EncodeRun(
    vae="runs/vae",
    # One training for every operation: half of the clips have something known.
    conditioned=0.5,
    data=CLIPS_OF_ALL,
)


def _encode(
    seed: int,
    length: int,
    frames: dict[int, float],
    conditioned: float = 0.0,
    **kinds: float,
) -> EncodeRun:
    """Clips whose latents and captions are as the DiT knows them."""
    return dataclasses.replace(
        EVERYTHING,
        vae="runs/latents",
        tokenizer="runs/latents",
        conditioned=conditioned,
        data=dataclasses.replace(
            CLIPS_OF_ALL,
            seed=seed,
            length=length,
            frames=tuple(frames.items()),
            kinds=tuple(kinds.items()),
        ),
    )


CLIPS = {9: 0.15, 17: 0.85}
LONGER = {9: 0.15, 17: 0.7, 33: 0.15}
RELATED = {"two": 0.45, "collide": 0.17, "behind": 0.17, "one": 0.1, "cut": 0.11}
RUNS = {
    "everything": EVERYTHING,
    "motion": _encode(1, 20_480, CLIPS, one=0.9, two=0.1),
    "pairs": _encode(2, 20_480, CLIPS, **RELATED),
    "pictures": _encode(3, 40_960, {1: 1.0}, two=1.0),
    "conditioned": _encode(4, 20_480, LONGER, 1.0, **dict(CLIPS_OF_ALL.kinds)),
}


def get_config(name: str = "everything") -> EncodeRun:
    """Return the run: clips of everything, or those that some stages need more of."""
    if name not in RUNS:
        raise ValueError(
            f"playground_encode.py takes one of {', '.join(RUNS)}, got {name!r}"
        )
    return RUNS[name]

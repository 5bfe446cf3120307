"""Drift of weights in 8 bits: `python benchmarks/quantization.py`.

The same prompts and seeds are sampled with weights as they are and in 8 bits. The drift
is the PSNR between the two videos (the median), beside the bytes of the parameters.
"""

from __future__ import annotations

from typing import get_args

import jax
import numpy as np
import tyro

import sora_jax
from sora_jax.config import Quantization
from sora_jax.weights import bundle
from sora_jax.weights.modules import parameters

PROMPTS = (
    "a big red ball bounces on a green floor",
    "a small blue star moves right on a grey floor",
    "a yellow triangle spins on a brown floor",
    "a small purple square moves down and bounces on a blue floor",
)


def main(weights: str = str(bundle.ASSETS), frames: int = 17, steps: int = 12) -> None:
    """Print a row for each kind of 8 bits.

    Args:
      weights: a folder.
      frames: of each video.
      steps: of denoising.
    """
    made, held = {}, {}
    for kind in get_args(Quantization):
        model = sora_jax.load(weights, quantization=kind)
        videos = [
            model.generate(prompt, frames=frames, steps=steps, seed=seed)[0]
            for seed, prompt in enumerate(PROMPTS)
        ]
        made[kind] = np.stack(videos)
        transformer = model.weights.networks[model.weights.family.transformer]
        leaves = jax.tree.leaves(parameters(transformer))
        held[kind] = sum(x.nbytes for x in leaves) / 2**20
    print("| weights | transformer, MiB | PSNR, dB |")
    print("|---|---|---|")
    for kind, videos in made.items():
        errors = np.square(videos - made["none"]).mean(axis=(1, 2, 3, 4))
        decibels = (
            "" if kind == "none" else f"{np.median(10 * np.log10(4 / errors)):.1f}"
        )
        print(f"| {kind} | {held[kind]:.1f} | {decibels} |")


if __name__ == "__main__":
    tyro.cli(main)

"""Waste of packing the playground's mixture: `python benchmarks/packing.py`.

Padding is the share of a row's tokens that belong to no sample; masked pairs is the
share of token pairs in a row that belong to different samples, or to none.
"""

from __future__ import annotations

import numpy as np
import tyro

from sora_jax.config import DiTConfig, PackingConfig, PlaygroundConfig, VAEConfig
from sora_jax.data.packing import plan_rows, statistics
from sora_jax.worlds.playground.source import Playground


def main(clips: int = 5000) -> None:
    """Plan rows of the first clips of the default mixture."""
    vae, patch, packing = VAEConfig(), DiTConfig().patch, PackingConfig()
    source = Playground(PlaygroundConfig())
    lengths, captions = [], []
    for index in range(clips):
        scene = source.scene(index)
        latents = (
            1 + (scene.frames - 1) // vae.time_factor,
            scene.height // vae.space_factor,
            scene.width // vae.space_factor,
        )
        lengths.append(int(np.prod(np.array(latents) // patch)))
        captions.append(len(scene.stretches))
    tokens = np.array(lengths)
    rows = plan_rows(
        tokens, np.array(captions), packing.tokens, packing.samples, seed=0
    )
    found = statistics(rows, tokens, packing.tokens)
    print(
        f"{clips} clips in {len(rows)} rows of {packing.tokens} tokens: padding "
        f"{found['padding']:.1%}, masked pairs {found['masked_pairs']:.1%}"
    )


if __name__ == "__main__":
    tyro.cli(main)

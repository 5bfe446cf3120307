"""Waste of packing the playground's mixture: `python benchmarks/packing.py`.

Padding is the share of a row's tokens that belong to no sample; masked pairs is the
share of token pairs in a row that belong to different samples, or to none.
"""

from __future__ import annotations

import dataclasses

import tyro

from sora_jax.config import DiTConfig, PackingConfig, PlaygroundConfig, VAEConfig
from sora_jax.data.packing import statistics
from sora_jax.data.planning import latent_spec, plan_epoch
from sora_jax.worlds.playground.source import Playground


def main(clips: int = 5000) -> None:
    """Plan rows of the first clips of the default mixture."""
    vae, patch, packing = VAEConfig(), DiTConfig().patch, PackingConfig()
    packing = dataclasses.replace(packing, mid_clip=0.0)
    source = Playground(PlaygroundConfig())
    specs = [
        latent_spec(source.spec(index), vae.time_factor, vae.space_factor)
        for index in range(clips)
    ]
    planned = plan_epoch(specs, patch, packing, seed=0)
    found = statistics(planned.rows, planned.tokens, packing.tokens)
    print(
        f"{clips} clips in {len(planned.rows)} rows of {packing.tokens} tokens: "
        f"padding {found['padding']:.1%}, masked pairs {found['masked_pairs']:.1%}"
    )


if __name__ == "__main__":
    tyro.cli(main)

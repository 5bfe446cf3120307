"""Measure how well a model obeys its prompts in the playground.

`python -m sora_jax.evals.playground` generates videos from the test split's prompts,
reads them, and prints how often each fact is right, beside three controls: the true
videos, the true videos through the VAE, and videos judged by another one's prompt.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence

import numpy as np
import tyro

from sora_jax import cli
from sora_jax.data import outputs
from sora_jax.evals import results
from sora_jax.evals.trial import Model, Options, check, evaluate


class _OnlyVAE:
    """A model of which there is nothing but the VAE."""

    def __init__(self, folder: str):
        # Only a judge of models needs the models' rooms.
        from sora_jax.weights import published

        self.vae = published.load_vae(folder or published.ASSETS)

    def generate(self, prompts: list[str], **settings: object) -> np.ndarray:
        raise ValueError("--controls-only loads the VAE alone, which makes no videos")

    def reconstruct(self, pixels: np.ndarray) -> np.ndarray:
        from sora_jax.sampling import codec

        latents = codec.encode(self.vae, pixels)
        return np.concatenate(list(codec.decode(self.vae, latents)), axis=1)


def load(options: Options) -> Model | None:
    """Load what is measured."""
    if options.weights == "none":
        return None
    from sora_jax import runtime

    runtime.enable_compilation_cache()
    if options.controls_only:
        return _OnlyVAE(options.weights)
    import sora_jax

    return sora_jax.load(options.weights) if options.weights else sora_jax.load()


def main(argv: Sequence[str]) -> None:
    """Measure, print the table and write the results."""
    options = tyro.cli(Options, args=argv, description=__doc__)
    check(options)
    cases = evaluate(options, load(options))
    print(results.table(cases))
    if options.out:
        path = outputs.free_path(options.out)
        content = {"options": dataclasses.asdict(options), **results.report(cases)}
        path.write_text(json.dumps(content, indent=1) + "\n")
        print(path)


if __name__ == "__main__":
    with cli.exits("stopped; --out was not written"):
        main(sys.argv[1:])

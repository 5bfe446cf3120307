"""Measure how well a model obeys its prompts in the playground.

`python -m sora_jax.evals.playground` generates videos from the test split's prompts,
reads them, and prints how often each fact is right, beside three controls: the true
videos, the true videos through the VAE, and videos judged by another one's prompt.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from sora_jax import cli, workdir
from sora_jax.data import outputs
from sora_jax.evals import results
from sora_jax.evals.playground_options import Options, check
from sora_jax.evals.trial import Model, evaluate, save_worst


class _OnlyVAE:
    """A model of which there is nothing but the VAE."""

    def __init__(self, vae: Any):
        self.vae = vae

    def generate(self, prompts: list[str], **settings: object) -> np.ndarray:
        raise ValueError("--controls-only loads the VAE alone, which makes no videos")

    def reconstruct(self, pixels: np.ndarray) -> np.ndarray:
        from sora_jax.sampling import codec

        return codec.reconstruct(self.vae, pixels)


def load(options: Options) -> Model | None:
    """Load what is measured.

    Raises:
      ValueError: there is nothing to load, or it makes no videos of this size.
    """
    if options.weights == "none":
        return None
    # Only a judge of models needs the models' rooms.
    from sora_jax import runtime
    from sora_jax.sampling.model import load as load_model
    from sora_jax.weights import bundle, workdirs

    runtime.enable_compilation_cache()
    folder = options.weights or bundle.ASSETS
    if options.controls_only:
        vae = workdirs.load_vae(folder)
        model: Model = _OnlyVAE(vae)
        unit = vae.config.space_factor
    else:
        model = whole = load_model(folder, rewords=False)
        config = whole.weights.config
        unit = config.vae.space_factor * max(config.dit.patch[1:])
    if any(side % unit for side in cli.parse_size(options.size)):
        raise ValueError(f"--size must be multiples of {unit}, got {options.size!r}")
    return model


def main(argv: Sequence[str]) -> None:
    """Measure, print the table and write the results."""
    options = cli.parse(Options, argv, __doc__)
    check(options)
    outcome = evaluate(options, load(options))
    print(results.table(outcome.cases))
    if options.out:
        path = outputs.free_path(options.out)
        content = {"options": dataclasses.asdict(options)}
        workdir.write_json(path, content | results.report(outcome.cases))
        print(path)
    if options.save:
        save_worst(outcome, options)


if __name__ == "__main__":
    with cli.exits("stopped; nothing was written"):
        main(sys.argv[1:])

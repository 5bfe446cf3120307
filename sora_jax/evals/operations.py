"""Measure how well a model does everything but making videos from text.

`python -m sora_jax.evals.operations` tries every operation on clips of the test split
and looks at the pixels that come back: whether what is known is kept, joins are smooth,
things go where the world's laws lead them, and what is made is what was asked for.
Beside the model stand the world's own videos, the same with all that is made passed
through the VAE, and what is there if nothing is made.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence

from sora_jax import cli, workdir
from sora_jax.data import outputs
from sora_jax.evals import operation_results
from sora_jax.evals.operated import Model
from sora_jax.evals.operation_options import Options, check
from sora_jax.evals.operation_trial import measure, save_worst


def load(options: Options) -> Model | None:
    """Load what is measured, if anything is."""
    if options.weights == "none":
        return None
    from sora_jax import runtime
    from sora_jax.sampling.model import load as load_model
    from sora_jax.weights import bundle

    runtime.enable_compilation_cache()
    return load_model(options.weights or bundle.ASSETS, rewords=False)


def main(argv: Sequence[str]) -> None:
    """Measure, print the table and write the results."""
    options = cli.parse(Options, argv, __doc__)
    check(options)
    results = measure(load(options), options)
    print(operation_results.table(results.outcomes))
    if options.out:
        path = outputs.free_path(options.out)
        content = {"options": dataclasses.asdict(options)}
        content |= operation_results.report(results.outcomes)
        workdir.write_json(path, content)
        print(path)
    if options.save:
        save_worst(results, options)


if __name__ == "__main__":
    with cli.exits("stopped; nothing was written"):
        main(sys.argv[1:])

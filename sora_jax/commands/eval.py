"""The `eval` program: evaluate a model on the playground, or on compositions."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

# Name of an evaluation -> its module.
EVALUATIONS = {
    "playground": "sora_jax.worlds.playground.judge.command",
    "compositions": "sora_jax.evals.compositions.command",
}


def main(argv: Sequence[str]) -> None:
    """Run the evaluation that the first argument names; the playground's by default.

    Raises:
      ValueError: there is none of this name.
    """
    name, rest = "playground", list(argv)
    if rest and not rest[0].startswith("-"):
        name, *rest = rest
    if name not in EVALUATIONS:
        raise ValueError(f"eval takes one of {', '.join(EVALUATIONS)}, got {name!r}")
    importlib.import_module(EVALUATIONS[name]).main(rest)

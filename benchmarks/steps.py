"""What steps and solvers cost and give: `python benchmarks/steps.py`, some 20 minutes.

The judge reads videos that differ in nothing but the steps of their denoising, made by
the weights that ship with the package, or others.
"""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import get_args

import tyro

from sora_jax.config import Solver
from sora_jax.evals import results
from sora_jax.evals.playground import load
from sora_jax.evals.playground_options import Options, check
from sora_jax.evals.statistics import percent
from sora_jax.evals.trial import Model, evaluate
from sora_jax.weights import bundle

STEPS = (4, 8, 16, 32)


def main(
    weights: str = "",
    cases: int = 100,
    kind: str = "one",
    out: Path = Path(__file__).parent / "steps.md",
) -> None:
    """Judge all steps with all solvers.

    Args:
      weights: folder; by default the package's.
      cases: videos for each.
      kind: of the videos; "" is the whole mixture.
      out: the table's file, which is written anew.
    """
    options = Options(weights=weights, cases=cases, kind=kind)
    check(options)
    model = load(options)
    if model is None:
        raise ValueError("--weights 'none' has no steps: give a folder of weights")
    lines = [
        "# Steps and solvers",
        "",
        f"`python benchmarks/steps.py --cases {cases} --kind '{kind}'`, of the weights",
        f"{weights or bundle.describe(bundle.ASSETS).name}: the same prompts and "
        "noise; shares of facts that are right",
        "(intervals of 95%, as if the facts of a video were independent), and of "
        "videos in which all",
        "are. Heun evaluates the transformer twice a step.",
        "",
        "| solver | steps | facts | all of a video | seconds a video |",
        "|---|---:|---:|---:|---:|",
    ]
    for solver, steps in itertools.product(get_args(Solver), STEPS):
        asked = Options(
            weights=weights, cases=cases, kind=kind, steps=steps, solver=solver
        )
        lines.append(line(asked, model))
        print(lines[-1], flush=True)
    out.write_text("\n".join([*lines, ""]))


def line(options: Options, model: Model) -> str:
    """A row of the table."""
    seconds = speed(options, model)
    found = results.tally(evaluate(options, model).cases)
    whole = found.pop(results.EVERYTHING)["model"]
    pairs = [columns["model"] for columns in found.values()]
    facts = tuple(sum(numbers) for numbers in zip(*pairs, strict=True))
    shares = " | ".join(percent(*pair) for pair in (facts, whole))
    return f"| {options.solver} | {options.steps} | {shares} | {seconds:.2f} |"


def speed(options: Options, model: Model) -> float:
    """Seconds that a video of a full batch takes, once all is compiled."""
    prompts = ["a red ball moves right"] * options.batch
    seconds = 0.0
    for _ in range(2):
        started = time.perf_counter()
        model.generate(
            prompts,
            frames=options.frames,
            size=(64, 64),
            fps=8.0,
            seed=0,
            steps=options.steps,
            solver=options.solver,
        )
        seconds = time.perf_counter() - started
    return seconds / options.batch


if __name__ == "__main__":
    tyro.cli(main)

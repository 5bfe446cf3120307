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
from sora_jax.evals import harness, results
from sora_jax.evals.statistics import percent
from sora_jax.evals.subject import Subject
from sora_jax.sampling.tasks import Generate
from sora_jax.weights import bundle
from sora_jax.worlds.playground.judge.cases.prompts import EVERYTHING
from sora_jax.worlds.playground.judge.command import (
    JudgeOptions,
    check_options,
    load_subject,
    suites,
)
from sora_jax.worlds.playground.judge.facts import FACTS

STEPS = (4, 8, 16, 32)
BATCH = 20


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
    options = JudgeOptions(weights=weights, cases=cases, kind=kind, batch=BATCH)
    check_options(options)
    model = load_subject(options)
    if model is None or model.perform is None:
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
        asked = JudgeOptions(
            weights=weights,
            cases=cases,
            kind=kind,
            batch=BATCH,
            steps=steps,
            solver=solver,
        )
        lines.append(line(asked, model))
        print(lines[-1], flush=True)
    out.write_text("\n".join([*lines, ""]))


def line(options: JudgeOptions, model: Subject) -> str:
    """A row of the table."""
    seconds = speed(options, model)
    found = results.tally(harness.run(suites(options), model, options))
    facts, whole = [], found["generate", EVERYTHING]["model"]
    for fact in FACTS:
        facts += found.get(("generate", fact), {}).get("model", [])
    shares = " | ".join(
        percent(sum(item.is_right is True for item in items), len(items))
        for items in (facts, whole)
    )
    return f"| {options.solver} | {options.steps} | {shares} | {seconds:.2f} |"


def speed(options: JudgeOptions, model: Subject) -> float:
    """Seconds that a video of a full batch takes, once all is compiled."""
    assert model.perform is not None
    prompts = ["a red ball moves right"] * BATCH
    seconds = 0.0
    for _ in range(2):
        started = time.perf_counter()
        model.perform(
            Generate(frames=options.frames),
            prompts,
            size=(64, 64),
            fps=8.0,
            seed=0,
            steps=options.steps,
            solver=options.solver,
        )
        seconds = time.perf_counter() - started
    return seconds / BATCH


if __name__ == "__main__":
    tyro.cli(main)

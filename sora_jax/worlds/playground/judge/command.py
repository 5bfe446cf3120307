"""Evaluate a model on tasks of the playground.

Videos are generated for cases of the test split: from prompts alone, or from given
frames and regions. The judge, without anything learned, reads from their pixels whether
they show the stated facts, keep given pixels, join smoothly, and follow the world's
physics. Controls are the true videos, their VAE reconstructions, and either the given
pixels alone or another case's prompt.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from sora_jax import cli
from sora_jax.evals import harness, options, results, subject
from sora_jax.evals.case import Suite
from sora_jax.worlds.playground.judge.cases import (
    edits,
    frames,
    loops,
    prediction,
    regions,
    storyboards,
)
from sora_jax.worlds.playground.judge.cases.prompts import Prompts

# Suites whose clips are always the same for a seed.
SUITES: dict[str, Suite] = {
    **frames.SUITES,
    **loops.SUITES,
    **prediction.SUITES,
    **edits.SUITES,
    **regions.SUITES,
    **storyboards.SUITES,
}
_GENERATE = "generate"
# By config field of the playground: the flag to name in messages.
_FLAGS = {"frames": "frames", "sizes": "size", "seed": "seed", "kinds": "kind"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class JudgeOptions(options.EvalOptions):
    """Options of the playground's evaluation."""

    # Which tasks, or how their names begin ("extend" for forward and backward), or
    # "all".
    tasks: tuple[str, ...] = (_GENERATE,)
    # Frames of each video from a prompt alone: 1 (an image) or 1 + 4k.
    frames: int = 17
    # WIDTHxHEIGHT in pixels, of the same videos; as the next two.
    size: str = "64x64"
    # Clips of one kind alone ("one" for single objects); by default the whole mixture.
    kind: str = ""
    # Only prompts that state this fact ("gravity": something bounces).
    fact: str = ""

    def prompts(self) -> Prompts:
        """Return the selection of prompts."""
        size = cli.parse_size(self.size)
        return Prompts(frames=self.frames, size=size, kind=self.kind, fact=self.fact)


def check_options(asked: JudgeOptions) -> None:
    """Check the options; report all problems at once.

    Raises:
      ValueError: names each flag, its value and the remedy.
    """
    problems = options.problems_of(asked, (_GENERATE, *SUITES))
    if _GENERATE in options.chosen_suites(asked, [_GENERATE]):
        problems += _problems_of_prompts(asked)
    else:
        problems += [
            f"--{flag} is of the task {_GENERATE}, which --tasks leaves out: add it, "
            f"or leave out --{flag}"
            for flag in ("frames", "size", "kind", "fact")
            if getattr(asked, flag) != getattr(JudgeOptions(), flag)
        ]
    if problems:
        raise ValueError("\n".join(problems))


def _problems_of_prompts(asked: JudgeOptions) -> list[str]:
    problems = []
    if asked.cases < 2:
        problems.append(
            f"--cases must be >= 2, as prompts are shuffled, got {asked.cases}"
        )
    if asked.kind == "turn":
        problems.append(
            "--kind turn has two captions and one scene, which this judge does not "
            "take apart: see --tasks storyboard"
        )
    try:
        asked.prompts().find(asked.seed)
    except ValueError as error:
        problem = str(error)
        for field, flag in _FLAGS.items():
            problem = problem.replace(f"data.{field}", f"--{flag}")
        problems.append(problem)
    return problems


def suites(asked: JudgeOptions) -> dict[str, Suite]:
    """Return the suites that are asked for."""
    found = {_GENERATE: asked.prompts().suite(), **SUITES}
    return {name: found[name] for name in options.chosen_suites(asked, found)}


def load_subject(asked: JudgeOptions) -> subject.Subject | None:
    """Load the model to evaluate.

    Raises:
      ValueError: there is nothing to load, or it makes no videos of this size.
    """
    loaded = subject.load_subject(asked.weights, vae_only=asked.controls_only)
    if loaded is not None and _GENERATE in options.chosen_suites(asked, [_GENERATE]):
        unit = loaded.space_unit
        if any(side % unit for side in cli.parse_size(asked.size)):
            raise ValueError(f"--size must be multiples of {unit}, got {asked.size!r}")
    return loaded


def main(argv: Sequence[str]) -> None:
    """Evaluate, print the table and write the results."""
    asked = cli.parse(JudgeOptions, argv, __doc__)
    check_options(asked)
    found = harness.run(suites(asked), load_subject(asked), asked)
    results.report(found, asked)

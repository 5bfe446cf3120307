"""Which videos are judged, how they are made, and where the results go."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

from etils import epath

from sora_jax import cli
from sora_jax.config import PlaygroundConfig, Solver
from sora_jax.data import outputs
from sora_jax.evals import judge
from sora_jax.files import located
from sora_jax.worlds.playground.source import Playground

# What not all prompts state: count and scenes are judged of every video.
STATED = tuple(fact for fact in judge.FACTS if fact not in ("count", "scenes"))
_ENOUGH = 1000  # prompts to look for the first that states a fact


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Which videos are judged."""

    # Folder of weights; by default those that ship with the package. "none" judges true
    # videos alone. With --controls-only, the workdir of a VAE run will do.
    weights: str = ""
    # Number of prompts.
    cases: int = 500
    # Of the prompts and of the noise.
    seed: int = 0
    # Frames of each video: 1 (an image) or 1 + 4k.
    frames: int = 17
    # WIDTHxHEIGHT in pixels.
    size: str = "64x64"
    # Clips of one kind alone ("one" for single objects); by default the whole mixture.
    kind: str = ""
    # Only prompts that state this, among other facts ("gravity": something bounces).
    fact: str = ""
    # How many videos are made at once. Their noise depends on it.
    batch: int = 20
    # Steps of denoising; by default the weights' own, as the next two.
    steps: int | None = None
    # Solver of the sampling's equation.
    solver: Solver | None = None
    # Weight of classifier-free guidance.
    guidance: float | None = None
    # Generate nothing, and judge the controls alone.
    controls_only: bool = False
    # A JSON file for the shares and every verdict; never overwritten.
    out: str = ""
    # A folder for the worst videos.
    save: str = ""
    # How many of them to save.
    worst: int = 12


def check(options: Options) -> None:
    """Refuse what cannot be judged or written, all problems at once.

    Raises:
      ValueError: names each flag, its value and the remedy.
    """
    problems = []
    if options.cases < 2:
        problems.append(
            f"--cases must be >= 2, as prompts are shuffled, got {options.cases}"
        )
    for flag in ("batch", "worst"):
        if getattr(options, flag) < 1:
            problems.append(f"--{flag} must be >= 1, got {getattr(options, flag)}")
    if options.save and (options.controls_only or options.weights == "none"):
        problems.append(
            f"--save {options.save!r} needs videos of a model: leave it out, or "
            "--controls-only and --weights none"
        )
    if options.kind == "turn":
        problems.append(
            "--kind turn has two captions and one scene, which this judge does not "
            "take apart: see python -m sora_jax.evals.operations --tasks storyboard"
        )
    if options.out and not options.out.endswith(".json"):
        problems.append(f"--out must end in .json, got {options.out!r}")
    if options.steps is not None and options.steps < 1:
        problems.append(f"--steps must be >= 1, got {options.steps}")
    checks = (
        # The settings are a playground's, and some prompt states the fact.
        lambda: clips_of(dataclasses.replace(options, cases=1)),
        lambda: options.out and outputs.check_folder(options.out, field="--out"),
        lambda: options.save and outputs.check_folder(video_path(options), "--save"),
    )
    for attempt in checks:
        try:
            attempt()
        except ValueError as error:
            problems.append(_as_flags(str(error)))
    if problems:
        raise ValueError("\n".join(problems))


def _as_flags(problem: str) -> str:
    """Name the flags where the playground's settings are named."""
    flags = {"frames": "frames", "sizes": "size", "seed": "seed", "kinds": "kind"}
    for field, flag in flags.items():
        problem = problem.replace(f"data.{field}", f"--{flag}")
    return problem


def source(options: Options) -> Playground:
    """Return the test clips."""
    config = PlaygroundConfig(
        split="test",
        seed=options.seed,
        frames=((options.frames, 1.0),),
        sizes=((cli.parse_size(options.size), 1.0),),
    )
    if options.kind:
        config = dataclasses.replace(config, kinds=((options.kind, 1.0),))
    return Playground(config)


def clips_of(options: Options) -> list[int]:
    """Return which clips of `source` are judged: the first that suit.

    Raises:
      ValueError: the settings are no playground's, or no prompt states the fact.
    """
    clips = source(options)
    if not options.fact:
        return list(range(options.cases))
    if options.fact not in STATED:
        names = ", ".join(STATED)
        raise ValueError(f"--fact must be one of {names}, got {options.fact!r}")

    def suits(index: int) -> bool:
        parts, _ = clips.captions(index)
        return options.fact in judge.facts_judged(parts, clips.scene(index).stretches)

    first = next(filter(suits, range(_ENOUGH)), None)
    if first is None:
        kind = f" of --kind {options.kind}" if options.kind else ""
        raise ValueError(
            f"--fact {options.fact} must be stated by prompts, and is by none of the "
            f"first {_ENOUGH}{kind} with --frames {options.frames}: ask for another "
            "kind, or for more frames"
        )
    found = filter(suits, range(first, len(clips)))
    return list(itertools.islice(found, options.cases))


def video_path(options: Options, index: int = 0) -> epath.Path:
    """Return where one of the worst videos goes."""
    return located(options.save, "--save") / f"case_{index:05d}.mp4"


def settings_asked(options: Options) -> dict[str, Any]:
    """How videos are made otherwise than the weights say."""
    given = {name: getattr(options, name) for name in ("steps", "solver", "guidance")}
    return {name: value for name, value in given.items() if value is not None}

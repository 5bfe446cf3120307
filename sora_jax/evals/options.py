"""Which suites are run, with which settings, and where the results go."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from etils import epath

from sora_jax.config import Solver
from sora_jax.data import outputs
from sora_jax.files import located

_AT_LEAST = {"cases": 1, "controls": 0, "batch": 1, "worst": 1, "steps": 1, "seed": 0}


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalOptions:
    """What is evaluated."""

    # Folder of weights; by default those that ship with the package. "none" scores the
    # controls alone. With --controls-only, the workdir of a VAE run will do.
    weights: str = ""
    # Which tasks, or how their names begin ("extend" for forward and backward), or
    # "all".
    tasks: tuple[str, ...] = ("all",)
    # Number of cases of each task; one for four of them where videos last a minute.
    cases: int = 256
    # The controls beside the model's videos are scored in so many of the cases; by
    # default in all. This takes three times as long as to score the model's videos.
    controls: int | None = None
    # Of the cases and of the noise.
    seed: int = 0
    # How many videos are made at once where they are made from prompts alone; by
    # default 20, or 4 long ones. Their noise depends on it.
    batch: int | None = None
    # Steps of denoising; by default the weights' own, as the next two.
    steps: int | None = None
    # Solver of the sampling's equation.
    solver: Solver | None = None
    # Weight of classifier-free guidance.
    guidance: float | None = None
    # Generate nothing, and score the controls alone.
    controls_only: bool = False
    # A JSON file for the shares and every finding; never overwritten.
    out: str = ""
    # A folder for the worst videos.
    save: str = ""
    # How many of each task to save.
    worst: int = 4


def problems_of(options: EvalOptions, names: Iterable[str]) -> list[str]:
    """Name each flag that is wrong, its value and the remedy.

    Args:
      options: what is checked.
      names: of all suites.
    """
    names = tuple(names)
    values = {flag: getattr(options, flag) for flag in _AT_LEAST}
    problems = [
        f"--{flag} must be >= {_AT_LEAST[flag]}, got {value}"
        for flag, value in values.items()
        if value is not None and value < _AT_LEAST[flag]
    ]
    problems += [
        f"--tasks must be all, or among {', '.join(names)}, or the first words of "
        f"some, got {asked!r}"
        for asked in options.tasks
        if not any(_is_asked(name, asked) for name in names)
    ]
    if options.save and (options.controls_only or options.weights == "none"):
        problems.append(
            f"--save {options.save!r} needs videos of a model: leave it out, or "
            "--controls-only and --weights none"
        )
    if options.out and not options.out.endswith(".json"):
        problems.append(f"--out must end in .json, got {options.out!r}")
    for flag in ("out", "save"):
        try:
            if getattr(options, flag):
                path = options.out if flag == "out" else video_path(options)
                outputs.check_folder(path, field=f"--{flag}")
        except ValueError as error:
            problems.append(str(error))
    return problems


def chosen_suites(options: EvalOptions, names: Iterable[str]) -> list[str]:
    """Return the suites that are asked for."""
    return [n for n in names if any(_is_asked(n, asked) for asked in options.tasks)]


def _is_asked(name: str, asked: str) -> bool:
    return asked in ("all", name) or name.startswith(f"{asked}-")


def video_path(options: EvalOptions, suite: str = "", index: int = 0) -> epath.Path:
    """Return where one of the worst videos goes."""
    return located(options.save, "--save") / f"{suite}_{index:05d}.mp4"


def settings_overrides(options: EvalOptions) -> dict[str, Any]:
    """How videos are made otherwise than the weights say."""
    given = {name: getattr(options, name) for name in ("steps", "solver", "guidance")}
    return {name: value for name, value in given.items() if value is not None}

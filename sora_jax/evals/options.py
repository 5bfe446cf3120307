"""Options of an evaluation: suites, settings and output files."""

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
    """Options of an evaluation."""

    # Folder of weights; by default those shipped with the package. "none" scores only
    # the controls. With --controls-only it may also be the workdir of a VAE run.
    weights: str = ""
    # Tasks, or the first words of their names ("extend" for forward and backward), or
    # "all".
    tasks: tuple[str, ...] = ("all",)
    # Number of cases of each task; one for four of them where videos last a minute.
    cases: int = 256
    # Number of cases with controls; all by default. Controls take three times as long
    # to score as the model's videos.
    controls: int | None = None
    # Seed of the cases and of the noise.
    seed: int = 0
    # Videos sampled at once, if from prompts alone; by default 20, or 4 long ones.
    # Their noise depends on it.
    batch: int | None = None
    # Denoising steps; like the next two, by default those of the weights.
    steps: int | None = None
    # ODE solver.
    solver: Solver | None = None
    # Classifier-free guidance scale.
    guidance: float | None = None
    # Score only the controls.
    controls_only: bool = False
    # A JSON file for the shares and every finding; never overwritten.
    out: str = ""
    # A folder for the worst videos.
    save: str = ""
    # Number of videos to save per task.
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
    """Return the selected suites."""
    return [n for n in names if any(_is_asked(n, asked) for asked in options.tasks)]


def _is_asked(name: str, asked: str) -> bool:
    return asked in ("all", name) or name.startswith(f"{asked}-")


def video_path(options: EvalOptions, suite: str = "", index: int = 0) -> epath.Path:
    """Return the path of one of the worst videos."""
    return located(options.save, "--save") / f"{suite}_{index:05d}.mp4"


def settings_overrides(options: EvalOptions) -> dict[str, Any]:
    """Return the settings that override the weights' defaults."""
    given = {name: getattr(options, name) for name in ("steps", "solver", "guidance")}
    return {name: value for name, value in given.items() if value is not None}

"""What is tried: which operations, on how many clips, and where the results go."""

from __future__ import annotations

import dataclasses

from etils import epath

from sora_jax.data import outputs
from sora_jax.evals import edits, foresight, joins, loops, regions, stories
from sora_jax.evals.operated import Task
from sora_jax.files import located

TASKS: dict[str, Task] = {
    **joins.TASKS,
    **loops.TASKS,
    **foresight.TASKS,
    **edits.TASKS,
    **regions.TASKS,
    **stories.TASKS,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What is tried."""

    # Folder of weights; by default those that ship with the package. "none" looks at
    # the controls alone.
    weights: str = ""
    # Clips for each task; of videos of a minute, one for four of them.
    cases: int = 256
    # Of so many of them the controls are looked at, which takes three times as long as
    # to look at the model's videos.
    controls: int = 64
    # Names of tasks, or how they begin ("extend" for forward and backward); by default
    # all of them.
    tasks: tuple[str, ...] = ()
    # Of the clips and of the noise.
    seed: int = 0
    # Steps of denoising; 0 for the weights' own number.
    steps: int = 0
    # How many videos are made at once where they are made from prompts alone. Their
    # noise depends on it.
    batch: int = 4
    # A JSON file for the shares and every finding; never overwritten.
    out: str = ""
    # A folder for the worst videos.
    save: str = ""
    # How many of each task to save.
    worst: int = 2


def check(options: Options) -> None:
    """Refuse what cannot be tried or written, all problems at once.

    Raises:
      ValueError: names each flag, its value and the remedy.
    """
    least = {"cases": 1, "controls": 0, "batch": 1, "worst": 1, "steps": 0, "seed": 0}
    problems = [
        f"--{flag} must be >= {low}, got {getattr(options, flag)}"
        for flag, low in least.items()
        if getattr(options, flag) < low
    ]
    problems += [
        f"--tasks must be among {', '.join(TASKS)}, or the first words of some, got "
        f"{asked!r}"
        for asked in options.tasks
        if not any(_is_asked(name, asked) for name in TASKS)
    ]
    if options.save and options.weights == "none":
        problems.append(
            f"--save {options.save!r} needs videos of a model: leave it out, or "
            "--weights none"
        )
    if options.out and not options.out.endswith(".json"):
        problems.append(f"--out must end in .json, got {options.out!r}")
    for flag, path in (
        ("out", options.out),
        ("save", options.save and video_path(options)),
    ):
        try:
            if path:
                outputs.check_folder(path, field=f"--{flag}")
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))


def chosen(options: Options) -> dict[str, Task]:
    """Return the tasks that are asked for."""
    return {
        name: task
        for name, task in TASKS.items()
        if not options.tasks or any(_is_asked(name, item) for item in options.tasks)
    }


def _is_asked(name: str, asked: str) -> bool:
    return name == asked or name.startswith(f"{asked}-")


def video_path(options: Options, task: str = "", index: int = 0) -> epath.Path:
    """Return where one of the worst videos goes."""
    return located(options.save, "--save") / f"{task}_{index:05d}.mp4"

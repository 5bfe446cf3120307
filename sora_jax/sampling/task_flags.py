"""Build a task from flags; refuse flags that are missing or have no effect."""

from __future__ import annotations

from typing import Any

from sora_jax.config import ModelConfig, SamplingConfig
from sora_jax.files import quoted
from sora_jax.sampling.flags import SampleOptions
from sora_jax.sampling.tasks import TASKS, Task, build


def build_task(arguments: SampleOptions) -> Task:
    """Build the task that flags ask for.

    Raises:
      ValueError: names every flag that is missing, wrong, or unused by the task.
    """
    kind, given = arguments.kind, arguments.given()
    problems = _misplaced(arguments, given)
    values: dict[str, Any] = {}
    for name, argument in kind.arguments().items():
        if name not in given:
            if argument.is_required:
                problems.append(f"--{name} is missing: --task {kind.name} needs one")
            continue
        try:
            values[name] = _value(kind, name, given[name])
        except ValueError as error:
            problems += str(error).splitlines()
    task = None
    try:
        task = build(kind, values)
    except ValueError as error:
        told = [line for line in str(error).splitlines() if " is missing: " not in line]
        problems += told
    problems += _prompt_and_size(arguments, task)
    if problems or task is None:
        raise ValueError("\n".join(problems))
    return task


def _value(kind: type[Task], name: str, given: Any) -> Any:
    """Return the value of an argument; one that takes no list is given once."""
    argument = kind.arguments()[name].kind
    if argument.takes != "list" and isinstance(given, tuple):
        if len(given) != 1:
            raise ValueError(
                f"--{name} must be given once with --task {kind.name}, got {len(given)}"
            )
        (given,) = given
    return given


def _misplaced(arguments: SampleOptions, given: dict[str, Any]) -> list[str]:
    """Return problems with flags that the task does not use."""
    kind, problems = arguments.kind, []
    takes = {n for n, a in kind.arguments().items() if a.kind.flag is not None}
    if arguments.seconds is not None:
        given = {**given, "seconds": arguments.seconds}
    takes |= {"seconds"} if kind.counts else set()
    for name in sorted(set(given) - takes):
        flag = f"--{name.replace('_', '-')}"
        if name in ("frames", "seconds"):
            problems.append(
                f"{flag} does nothing with --task {kind.name}, whose length is given: "
                "leave it out"
            )
            continue
        takers = [task for task, other in TASKS.items() if name in other.arguments()]
        problems.append(
            f"{flag} does nothing with --task {kind.name}: leave it out, or try --task "
            + " or ".join(takers)
        )
    has_files = {
        name
        for name, argument in kind.arguments().items()
        if name in given and argument.kind.is_fitted
    }
    if arguments.fit != "crop" and not has_files:
        problems.append(
            f"--fit {arguments.fit} does nothing without files: leave it out"
        )
    return problems


def _prompt_and_size(arguments: SampleOptions, task: Task | None) -> list[str]:
    """Return problems with the prompt, size and frames that the task needs."""
    kind, problems = arguments.kind, []
    if kind.size == "another" and arguments.size is None:
        problems.append(f"--size is missing: --task {kind.name} needs one")
    has_prompt = arguments.prompt is not None or arguments.prompts is not None
    if has_prompt and kind.prompt == "none":
        problems.append(f"--prompt does nothing with --task {kind.name}: leave it out")
    if task is None:
        return problems
    if not has_prompt and task.needs_prompt:
        problems.append("--prompt is missing: say what the video shows")
    if arguments.seconds is not None and kind.counts and not task.counts_frames:
        problems.append(
            f"--seconds does nothing with --task {kind.name} and a --video, whose "
            "length is given: leave it out"
        )
    return problems


def without_effect(
    arguments: SampleOptions, settings: SamplingConfig, model: ModelConfig
) -> list[str]:
    """Return problems with flags that have no effect next to the others."""
    problems, given = [], arguments.given()
    if arguments.negative_prompt and not settings.guides(model.boundary is not None):
        problems.append(
            f"--negative-prompt {quoted(arguments.negative_prompt)} does nothing with "
            "--guidance 1: leave one of them out"
        )
    if arguments.preview and arguments.steps is not None:
        problems.append(
            f"--steps {arguments.steps} contradicts --preview: leave one of them out"
        )
    if arguments.preview and settings.sigmas:
        problems.append(
            f"--preview contradicts explicit noise levels, {len(settings.sigmas)} of "
            "them: leave it, or --recipe and --sigmas, out"
        )
    names = ("cache_curve", "cache_threshold", "cache_max_skips", "cache_retention")
    problems += [
        f"--{name.replace('_', '-')} does nothing without --cache magcache: leave it "
        "out, or give both"
        for name in names
        if getattr(arguments, name) is not None and settings.cache == "none"
    ]
    is_refined = arguments.refine is not None
    needs = {"strength": "", "fps": "", "tile": " or --task upscale"}
    needs["overlap"] = needs["tile"]
    problems += [
        f"--refine-{name} does nothing without --refine{other}: leave it out, or give "
        "--refine WIDTHxHEIGHT"
        for name, other in needs.items()
        if getattr(arguments, f"refine_{name}") is not None
        and not (is_refined or (other and arguments.task == "upscale"))
    ]
    if arguments.seconds is not None and "frames" in given:
        problems.append(
            f"--seconds {arguments.seconds:g} and --frames {given['frames']} are both "
            "given: leave one of them out"
        )
    if "init_noise" in given and arguments.seed is not None:
        problems.append(
            f"--seed {arguments.seed} does nothing beside --init-noise: leave one out"
        )
    if "init_noise" in given and arguments.variations > 1:
        problems.append(
            f"--variations {arguments.variations} would be equal videos with "
            "--init-noise: leave one of them out"
        )
    if arguments.guidance_low is not None and model.boundary is None:
        problems.append(
            f"--guidance-low {arguments.guidance_low} is for models with two "
            f"transformers, and {model.name} has one: leave it out"
        )
    if "image" in given and settings.frames == 1:
        problems.append(
            f"--image {quoted(given['image'][0])} is the first frame, and "
            "--frames 1 leaves nothing to sample: leave one of them out"
        )
    return problems

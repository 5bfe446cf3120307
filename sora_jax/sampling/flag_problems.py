"""Name the flags in problems that name fields."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

from sora_jax.sampling.flags import SampleFlags, SampleOptions

# What refinement calls the fields of its own request.
REFINE = {"size": "--refine", "strength": "--refine-strength", "fps": "--refine-fps"}


def as_flag(problem: str, arguments: SampleOptions | None = None) -> str:
    """Replace the field that a problem begins with by its flag."""
    field = re.split(r"\W", problem, maxsplit=1)[0]
    after = problem[len(field) :]
    if field == "noise":
        return "--init-noise" + after
    if field == "condition" and arguments is not None:
        return f"--task {arguments.task}: its input cannot be used:{after}"
    if field == "size" and arguments is not None and arguments.task == "outpaint":
        return f"--outpaint{after}"
    names = {item.name for item in dataclasses.fields(SampleFlags)}
    return f"--{field.replace('_', '-')}{after}" if field in names else problem


def as_flags(problems: Iterable[str], arguments: SampleOptions) -> list[str]:
    """Apply `as_flag` to problems and drop duplicates."""
    lines = (
        as_flag(line, arguments)
        for problem in problems
        for line in problem.splitlines()
    )
    return list(dict.fromkeys(lines))


def as_refine(problem: str) -> str:
    """Name the flag of a problem with the request that refines a draft."""
    field = re.split(r"\W", problem, maxsplit=1)[0]
    if field in REFINE:
        return REFINE[field] + problem[len(field) :]
    return problem if field.startswith("refine_") else f"--refine: {problem}"

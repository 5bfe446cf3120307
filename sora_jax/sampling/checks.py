"""Checks of the flags of `sample.py` that need neither a model nor a device.

They run before JAX is imported, so that a mistake is reported at once. Of files only
the first bytes are read.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from sora_jax import cli, files
from sora_jax.config import SamplingConfig, recipe_settings
from sora_jax.data import outputs
from sora_jax.limits import SEEDS, Limits
from sora_jax.sampling import flags
from sora_jax.sampling.flag_problems import as_flags
from sora_jax.sampling.limit_checks import (
    check_prompts,
    is_utf8,
    limit_problems,
    too_many,
)
from sora_jax.sampling.magcache import read_curve
from sora_jax.sampling.task_flags import build_task
from sora_jax.sampling.tasks import Task
from sora_jax.weights.adapter_paths import parse_lora
from sora_jax.weights.places import PARTS, WeightsFiles

# The name of a repository on a model hub.
HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


class CheckedFlags(NamedTuple):
    """Parsed flags and the problems found in them.

    Attributes:
      arguments: the flags.
      problems: one line for each.
      task: None if its flags are wrong.
      prompts: one for each video.
      size: (height, width), if given.
      refine: (height, width) of --refine, if given.
    """

    arguments: flags.SampleOptions
    problems: list[str]
    task: Task | None
    prompts: tuple[str, ...]
    size: tuple[int, int] | None
    refine: tuple[int, int] | None = None

    def checked(self) -> CheckedFlags:
        """Check the files too; those that this reads whole are not read again.

        Raises:
          ValueError: names each flag that is wrong, its value and the remedy.
        """
        problems, task = list(self.problems), self.task
        if task is not None and not problems:
            task = check_files(problems, task, self.arguments)
        if problems:
            raise ValueError("\n".join(as_flags(problems, self.arguments)))
        return self._replace(task=task)


def check_flags(arguments: flags.SampleOptions) -> CheckedFlags:
    """Build the task and collect the problems of all flags."""
    limits = arguments.limits
    problems = _check_items(arguments)
    task = None if problems else collect(problems, build_task, arguments)
    prompts = collect(problems, read_prompts, arguments, limits) or ("",)
    if arguments.variations < 1:
        problems.append(f"--variations must be >= 1, got {arguments.variations}")
    videos = len(prompts) * max(1, arguments.variations)
    if videos > limits.variations:
        problems.append(too_many("variations", "videos", videos, limits.variations))
        videos = 1
    prompts = tuple(p for p in prompts for _ in range(videos // len(prompts)))
    last = SEEDS - max(1, len(prompts))  # each video has its own seed
    if not 0 <= (arguments.seed or 0) <= last:
        problems.append(f"--seed must be from 0 to {last}, got {arguments.seed}")
    problems += check_prompts(prompts, limits)
    size = None
    if arguments.size is not None:
        size = collect(problems, cli.parse_size, arguments.size)
    refine = None
    if arguments.refine is not None:
        refine = collect(problems, cli.parse_size, arguments.refine, "--refine")
    around = max(getattr(task, "outpaint", (0,)))
    if around > limits.side:
        problems.append(too_many("outpaint", "pixels", around, limits.side))
    problems += _check_settings(arguments, size)
    return CheckedFlags(arguments, problems, task, prompts, size, refine)


def collect(problems: list[str], function: Callable[..., Any], *args: Any) -> Any:
    """Call a function; on a ValueError append its lines to `problems` instead."""
    try:
        return function(*args)
    except ValueError as error:
        problems.extend(str(error).splitlines())
        return None


def _check_settings(
    arguments: flags.SampleOptions, size: tuple[int, int] | None
) -> list[str]:
    """Return the problems of settings that no model could accept."""
    problems: list[str] = []
    given = collect(problems, flags.settings_from_flags, arguments) or {}
    given |= {} if size is None else {"size": size}
    if arguments.recipe is not None:
        collect(problems, recipe_settings, arguments.recipe)
    for name, value in given.items():
        # One at a time, to report every wrong one.
        settings = collect(problems, partial(SamplingConfig().asked, **{name: value}))
        if settings is not None:
            problems += limit_problems(settings, arguments.limits)
    seconds = arguments.seconds or 0
    if seconds > arguments.limits.frames:
        problems.append(too_many("seconds", "", seconds, arguments.limits.frames))
    if not is_utf8(arguments.negative_prompt or ""):
        problems.append("--negative-prompt must be UTF-8 text")
    return problems


def _check_items(arguments: flags.SampleOptions) -> list[str]:
    """Return the problems of flags that are given too often."""
    most = arguments.limits.items
    return [
        too_many(name, "", len(value), most)
        for name, value in arguments.given().items()
        if isinstance(value, tuple) and len(value) > most
    ]


def check_files(
    problems: list[str], task: Task, arguments: flags.SampleOptions
) -> Task:
    """Append the problems that the first bytes of files show.

    Returns:
      The task, with the files that were read whole in place of their paths.
    """
    read: dict[str, Any] = {}
    if arguments.weights is not None:
        collect(problems, _check_weights, arguments.weights)
    collect(problems, _check_parts, arguments)
    if arguments.cache_curve is not None:
        collect(problems, read_curve, arguments.cache_curve)
    for lora in arguments.lora:
        collect(problems, parse_lora, lora)
    for name, argument in task.arguments().items():
        value, check = getattr(task, name), argument.kind.check_file
        if check is not None and value is not None:
            field = f"--{name.replace('_', '-')}"
            found = collect(problems, check, value, field, arguments.limits)
            read |= {} if found is None else {name: found}
    if not (arguments.out.endswith("/") or os.path.isdir(arguments.out)):
        collect(problems, outputs.encoder_of, files.located(arguments.out, "--out"))
    return dataclasses.replace(task, **read)  # pyright: ignore


def _check_weights(folder: str) -> None:
    """Check that a folder of weights exists.

    Raises:
      ValueError: it does not; if it names a hub's repository, says how to download it.
    """
    where = files.located(folder, "--weights")
    if where.suffix == ".gguf":
        raise ValueError(
            f"--weights {files.quoted(folder)} is of the format GGUF, which is not "
            "supported: give .safetensors, in bfloat16 or in float8"
        )
    if where.exists():
        if where.suffix != ".safetensors" and not where.is_dir():
            raise ValueError(
                f"--weights {files.quoted(folder)} must be a folder or a .safetensors "
                f"file, got {where.suffix or 'no suffix'}: a pickle can run any code; "
                "docs/wan.md tells how to convert one that you trust"
            )
        return
    field = f"--weights {files.quoted(folder)}"
    if HUB.fullmatch(folder):
        raise ValueError(
            f"{field} does not exist, and weights are not downloaded: get them "
            f"with 'hf download {folder} --local-dir DIR' (pip install "
            "huggingface_hub), then give --weights DIR"
        )
    raise ValueError(f"{field} does not exist: check the name")


def _check_parts(arguments: flags.SampleOptions) -> None:
    """Check that the files of single networks exist, and go with --weights.

    Raises:
      ValueError: one does not, or there is no --weights.
    """
    place = arguments.place
    parts = place.parts if isinstance(place, WeightsFiles) else {}
    for name, path in parts.items():
        files.existing(path, f"--{name.replace('_', '-')}")
    given = [name for name in PARTS if getattr(arguments, name) is not None]
    if given and arguments.weights is None:
        raise ValueError(
            f"--{given[0].replace('_', '-')} needs --weights: a folder of Wan's, or "
            "the file of a transformer"
        )


def read_prompts(arguments: flags.SampleOptions, limits: Limits) -> tuple[str, ...]:
    """Return the prompts of --prompt or of the file of --prompts."""
    if arguments.prompts is None:
        prompt = arguments.prompt
        if prompt is not None and not prompt.strip():
            raise ValueError("--prompt is empty: say what the video shows")
        return ("",) if prompt is None else (prompt,)
    if arguments.prompt is not None:
        raise ValueError("--prompt and --prompts are both given: leave one out")
    text = files.read_text(arguments.prompts, "--prompts")
    lines = [line.strip() for line in text.splitlines()]
    prompts = tuple(line for line in lines if line)
    if not prompts:
        raise ValueError(f"--prompts {files.quoted(arguments.prompts)} holds no prompt")
    if len(prompts) > limits.variations:
        raise ValueError(too_many("prompts", "", len(prompts), limits.variations))
    return prompts

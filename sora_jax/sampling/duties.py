"""Which flags each task needs, and which mean something to it."""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple

from sora_jax.config import ModelConfig, SamplingConfig
from sora_jax.files import quoted
from sora_jax.sampling.flags import Arguments


class Kind(NamedTuple):
    """What a task takes.

    Attributes:
      needs: the flags without which there is nothing to do.
      may: further flags that mean something to it.
      prompt: whether one is "needed", optional ("may") or told elsewhere ("no").
      frames: whether --frames counts the "whole" video, the "new" frames, or "no".
    """

    needs: tuple[str, ...] = ()
    may: tuple[str, ...] = ()
    prompt: Literal["needed", "may", "no"] = "may"
    frames: Literal["whole", "new", "no"] = "no"


TASKS = {
    "generate": Kind(may=("init_noise",), prompt="needed", frames="whole"),
    "animate": Kind(needs=("image",), may=("init_noise",), frames="whole"),
    "extend": Kind(needs=("video",), may=("direction",), frames="new"),
    "loop": Kind(may=("video",), frames="new"),
    "connect": Kind(needs=("video",), frames="new"),
    "edit": Kind(needs=("video",), may=("strength",), prompt="needed"),
    "inpaint": Kind(needs=("video",), may=("mask", "outpaint")),
    "insert": Kind(needs=("video", "span")),
    "remove": Kind(needs=("video", "span"), frames="new"),
    "storyboard": Kind(needs=("storyboard",), prompt="no"),
    "upscale": Kind(needs=("size",), may=("video", "strength"), frames="whole"),
}
# Flags that belong to some tasks alone.
SPECIAL = {flag for kind in TASKS.values() for flag in (*kind.needs, *kind.may)}
SPECIAL -= {"size"}


def check_task(arguments: Arguments) -> list[str]:
    """Problems with what a task needs, and with flags that it does not take."""
    task, kind, problems = arguments.task, TASKS[arguments.task], []
    given = {name for name in SPECIAL if is_given(arguments, name)}
    for name in kind.needs:
        if not is_given(arguments, name):
            problems.append(f"--{name} is missing: --task {task} needs one")
    for name in sorted(given - {*kind.needs, *kind.may}):
        takers = [other for other, k in TASKS.items() if name in (*k.needs, *k.may)]
        problems.append(
            f"--{name.replace('_', '-')} does nothing with --task {task}: leave it "
            f"out, or try --task {' or '.join(takers)}"
        )
    wanted = 2 if task == "connect" else 1
    if "video" in given and len(arguments.video) != wanted:
        problems.append(
            f"--video must be given {wanted} times with --task {task}, got "
            f"{len(arguments.video)}"
        )
    if task == "inpaint" and ("mask" in given) == ("outpaint" in given):
        problems.append("--task inpaint needs either --mask FILE or --outpaint WxH")
    if arguments.fit != "crop" and not {"video", "image", "storyboard"} & given:
        problems.append(
            f"--fit {arguments.fit} does nothing without files: leave it out"
        )
    has_prompt = arguments.prompt is not None or arguments.prompts is not None
    bare = task in ("loop", "upscale") and "video" not in given
    if not has_prompt and (kind.prompt == "needed" or bare):
        problems.append("--prompt is missing: say what the video shows")
    if has_prompt and kind.prompt == "no":
        problems.append(f"--prompt does nothing with --task {task}: leave it out")
    for name in ("frames", "seconds"):
        if getattr(arguments, name) is not None and not counts_frames(arguments):
            problems.append(
                f"--{name} does nothing with --task {task}"
                + (" and a --video" if kind.frames != "no" else "")
                + ", whose length is given: leave it out"
            )
    return problems


def is_given(arguments: Arguments, name: str) -> bool:
    """Whether a flag says something."""
    default = next(f.default for f in dataclasses.fields(Arguments) if f.name == name)
    return getattr(arguments, name) != default


def counts_frames(arguments: Arguments) -> bool:
    """Whether --frames and --seconds have a meaning."""
    refines = arguments.task == "upscale" and bool(arguments.video)
    return TASKS[arguments.task].frames != "no" and not refines


def without_effect(
    arguments: Arguments, settings: SamplingConfig, model: ModelConfig
) -> list[str]:
    """Problems with flags that would do nothing beside the others."""
    problems = []
    if arguments.negative_prompt and not settings.guides(model.boundary is not None):
        problems.append(
            f"--negative-prompt {quoted(arguments.negative_prompt)} does nothing with "
            "--guidance 1: leave one of them out"
        )
    if arguments.preview and arguments.steps is not None:
        problems.append(
            f"--steps {arguments.steps} contradicts --preview: leave one of them out"
        )
    if arguments.seconds is not None and arguments.frames is not None:
        problems.append(
            f"--seconds {arguments.seconds:g} and --frames {arguments.frames} are both "
            "given: leave one of them out"
        )
    if arguments.init_noise is not None and arguments.seed is not None:
        problems.append(
            f"--seed {arguments.seed} does nothing beside --init-noise: leave one out"
        )
    if arguments.init_noise is not None and arguments.variations > 1:
        problems.append(
            f"--variations {arguments.variations} would be equal videos with "
            "--init-noise: leave one of them out"
        )
    if arguments.guidance_low is not None and model.boundary is None:
        problems.append(
            f"--guidance-low {arguments.guidance_low} is for models of two "
            f"transformers, and {model.name} has one: leave it out"
        )
    if arguments.image and settings.frames == 1:
        problems.append(
            f"--image {quoted(arguments.image[0])} is the first frame, and with "
            "--frames 1 nothing is left to make: leave one of them out"
        )
    return problems

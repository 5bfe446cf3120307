"""Accept the names that other programs give to the flags of `sample.py`.

They are arguments of diffusers' pipelines, and flags of Wan's `generate.py` and of
MaxDiffusion; dashes and underscores are equivalent.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import tyro

from sora_jax import cli
from sora_jax.files import quoted
from sora_jax.sampling import tasks
from sora_jax.sampling.flags import SampleFlags, SampleOptions

# From the name in the other program to the one here.
FLAGS = {
    # diffusers
    "num-frames": "frames",
    "num-inference-steps": "steps",
    "guidance-scale": "guidance",
    "guidance-scale-2": "guidance-low",
    "flow-shift": "shift",
    "num-videos-per-prompt": "variations",
    "output-path": "out",
    "output": "out",
    # Wan's generate.py
    "frame-num": "frames",
    "ckpt-dir": "weights",
    "sample-steps": "steps",
    "sample-guide-scale": "guidance",
    "sample-shift": "shift",
    "sample-solver": "solver",
    "base-seed": "seed",
    "save-file": "out",
    "n-prompt": "negative-prompt",
    # MaxDiffusion
    "num-video-frames": "frames",
    "pretrained-model-name-or-path": "weights",
}
# Flags whose values are texts or paths, which may hold any character.
_TEXTS = ("prompt", "negative-prompt", "image", "video", "mask", "prompts", "out")
_TEXTS += ("storyboard", "init-noise", "weights")
TEXTS = tuple(
    f"--{name}" for name in (*_TEXTS, *FLAGS) if FLAGS.get(name, name) in _TEXTS
)
# Other names of tasks, and the flags to use.
TASKS = {
    "t2v": "--task generate",
    "text-to-video": "--task generate",
    "t2i": "--task generate --frames 1",
    "text-to-image": "--task generate --frames 1",
    "i2v": "--task animate --image FILE",
    "image-to-video": "--task animate --image FILE",
    "ti2v": "--task animate --image FILE",
    "flf2v": "--task animate --image FIRST@0 --image LAST@-1",
    "interpolate": "--task connect, with two --video, or animate, with two --image",
    "v2v": "--task edit",
    "video-to-video": "--task edit",
    "restyle": "--task edit",
    "continue": "--task extend",
    "super-resolution": "--task upscale",
    "blend": "--task connect",
    "trim": "--task remove",
}


def parse(argv: Sequence[str]) -> SampleOptions:
    """Parse a command line, with the flags of other programs too.

    Raises:
      ValueError: the task is unknown, or one of height and width is missing.
      SystemExit: tyro has printed what is wrong with a flag, or the help.
    """
    cli.refuse_control(argv, TEXTS)
    pairs = (tyro.conf.FlagCreatePairsOff,)
    return tyro.cli(SampleFlags, args=translate(argv), config=pairs)


def translate(argv: Sequence[str]) -> list[str]:
    """Translate the flags of other programs.

    Raises:
      ValueError: the task is unknown, one of height and width is missing, or a flag
        is given by two names.
    """
    translated, sides = [], {}
    names: dict[str, str] = {}  # by our flag, the name on the command line
    rest = list(argv)
    while rest:
        argument = rest.pop(0)
        name, equals, value = argument.partition("=")
        key = name[2:].replace("_", "-") if name.startswith("--") else ""
        if key:
            flag = "size" if key in ("height", "width") else FLAGS.get(key, key)
            _refuse_twice(names, flag, key)
        if key in ("height", "width"):
            if not equals:
                value = rest.pop(0) if rest else ""
            sides[key] = value
        elif key in FLAGS:
            translated.append(f"--{FLAGS[key]}{equals}{value}")
        else:
            translated.append(argument)
        if key == "task" and (equals or rest):
            _check_task(value if equals else rest[0])
    return translated + _size_of(sides)


def _refuse_twice(names: dict[str, str], flag: str, key: str) -> None:
    """Refuse two names of one flag; one of them would be ignored silently."""
    sides = ("height", "width")
    before = names.setdefault(flag, key)
    if before != key and not (before in sides and key in sides):
        raise ValueError(
            f"--{flag} is given twice, as --{before} and as --{key}: leave one out"
        )


def _size_of(sides: dict[str, str]) -> list[str]:
    if len(sides) == 1:
        (given,) = sides
        other = "width" if given == "height" else "height"
        raise ValueError(
            f"--{given} {quoted(sides[given])} comes without --{other}: give both, or "
            "--size WIDTHxHEIGHT"
        )
    return [f"--size={sides['width']}x{sides['height']}"] if sides else []


def _check_task(task: str) -> None:
    known = tuple(tasks.TASKS)
    if task in known:
        return
    # Wan's tasks end in the size of the model: t2v-14B.
    name = task.lower().replace("_", "-")
    hint = TASKS.get(name) or TASKS.get(name.split("-")[0])
    if hint is None:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"--task {near[0]}" if near else f"one of {', '.join(known)}"
    raise ValueError(f"--task {quoted(task)} is not known: give {hint}")

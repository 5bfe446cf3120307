"""`sora-jax NAME ...`: the command that runs every program of the package."""

from __future__ import annotations

import importlib
import os
import sys
from typing import NamedTuple

from sora_jax import cli
from sora_jax.files import quoted


class Program(NamedTuple):
    """A program.

    Attributes:
      module: whose `main` takes the arguments.
      about: description.
      stopped: printed on Ctrl-C.
    """

    module: str
    about: str
    stopped: str = "stopped"


PROGRAMS = {
    "sample": Program(
        "sora_jax.commands.sample",
        "make videos from text, pictures and clips",
        "stopped; the video under way was not written",
    ),
    "train": Program(
        "sora_jax.commands.train",
        "train a model from a config",
        "stopped; the same command continues from the last checkpoint, if any",
    ),
    "data": Program("sora_jax.commands.data", "prepare clips for training"),
    "plan": Program(
        "sora_jax.plan.command", "memory and time of a step on absent TPUs"
    ),
    "publish": Program(
        "sora_jax.weights.publish",
        "turn a trained run into a folder of weights",
        "stopped; --out is not whole without its config.json",
    ),
    "export": Program(
        "sora_jax.weights.export",
        "export weights to diffusers' layout",
        "stopped; --out is not whole without its model_index.json",
    ),
    "eval": Program(
        "sora_jax.commands.eval",
        "evaluate how well videos match their prompts",
        "stopped; nothing was written",
    ),
    "doctor": Program(
        "sora_jax.commands.doctor", "report versions, devices and missing packages"
    ),
}


def usage() -> str:
    """Return the list of programs, a line each."""
    lines = (f"  {name:<12}{program.about}" for name, program in PROGRAMS.items())
    return (
        "usage: sora-jax PROGRAM [--help] ...\n\n"
        + "\n".join(lines)
        + "\n\nsora-jax PROGRAM --help lists the flags of each; sora-jax --version"
    )


def main() -> None:
    """Run the program named by the first argument."""
    name, *rest = sys.argv[1:] or ["--help"]
    with cli.exit_with_message("stopped"):
        if name in ("--help", "-h", "help"):
            cli.say(usage())
        elif name in ("--version", "version"):
            cli.say(version())
        elif name not in PROGRAMS:
            near = cli.closest(name, PROGRAMS)
            hint = f"did you mean {near}?" if near else usage()
            raise ValueError(f"{quoted(name)} is no program: {hint}")
        else:
            run(PROGRAMS[name], name, rest)


def run(program: Program, name: str, arguments: list[str]) -> None:
    """Run a program as if started directly."""
    if name == "plan":  # it compiles for machines that are not here
        os.environ["JAX_PLATFORMS"] = "cpu"
    sys.argv = [f"sora-jax {name}", *arguments]
    with cli.exit_with_message(program.stopped):
        importlib.import_module(program.module).main(arguments)


def version() -> str:
    """The package's name and version."""
    import sora_jax

    return f"sora_jax {sora_jax.__version__}"

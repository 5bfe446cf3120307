"""The `sora-jax data` program: prepare clips for training."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from sora_jax import cli
from sora_jax.commands.program import Program
from sora_jax.files import quoted

PROGRAMS = {
    "build": Program(
        "sora_jax.commands.data_build",
        "build a dataset: fluent_emoji, video_folder or playground",
        "stopped; the same command goes on after the complete parts",
    ),
    "show": Program(
        "sora_jax.commands.data_show",
        "show what a dataset or a folder of clips holds",
    ),
    "curate": Program(
        "sora_jax.commands.curate",
        "find shots in a folder, score them, find copies",
        "stopped; the same command goes on from here",
    ),
    "caption": Program(
        "sora_jax.commands.caption",
        "caption clips by a vision model behind an HTTP endpoint",
        "stopped; the same command goes on from here",
    ),
}


def usage() -> str:
    """Return the list of programs, a line each."""
    lines = (f"  {name:<12}{program.about}" for name, program in PROGRAMS.items())
    return (
        "usage: sora-jax data PROGRAM [--help] ...\n\n"
        + "\n".join(lines)
        + "\n\nsora-jax data PROGRAM --help lists the flags of each"
    )


def main(argv: Sequence[str]) -> None:
    """Run the program named by the first argument.

    Raises:
      ValueError: there is no such program.
      SystemExit: the help was printed.
    """
    name, *rest = argv or ["--help"]
    if name in ("--help", "-h", "help"):
        cli.say(usage())
        raise SystemExit(0)
    if name not in PROGRAMS:
        near = cli.closest(name, PROGRAMS)
        hint = f"did you mean {near}?" if near else usage()
        raise ValueError(f"{quoted(name)} is no program of data: {hint}")
    with cli.exit_with_message(PROGRAMS[name].stopped):
        importlib.import_module(PROGRAMS[name].module).main(rest)

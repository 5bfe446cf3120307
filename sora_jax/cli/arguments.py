"""Command line: config files, overrides, sizes, output names, exit messages."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import dis
import importlib.util
import inspect
import io
import os
import re
import sys
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tqdm
import tyro

from sora_jax import limits
from sora_jax.files import quoted

T = TypeVar("T")

# `__name__` of a config file while it runs.
_CONFIG = "sora_jax_config_file"
# Flags of any program whose values are paths.
PATHS = ("--config", "--workdir", "--weights", "--out", "--save", "--run", "--vae")
FLAGS = (tyro.conf.AvoidSubcommands, tyro.conf.FlagConversionOff)


@contextlib.contextmanager
def exit_with_message(stopped: str) -> Iterator[None]:
    """Exit with one line, the error or `stopped`, instead of a traceback.

    A ValueError raised inside a library is a bug of this package: it keeps its
    traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        # Escape what the console cannot encode, instead of failing.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        yield
    except (FloatingPointError, OSError) as error:
        sys.exit(f"error: {printable(str(error))}")
    except ValueError as error:
        if not raised_by_package(error):
            raise
        sys.exit(f"error: {printable(str(error))}")
    except KeyboardInterrupt:
        sys.exit(stopped)


def say(line: str) -> None:
    """Print a line; ignore a closed pipe."""
    try:
        print(printable(line), flush=True)
    except (OSError, ValueError):
        sys.stdout = open(os.devnull, "w")


def refuse_control(argv: Sequence[str], texts: Collection[str] = PATHS) -> None:
    """Refuse arguments with control characters, and very long ones.

    Args:
      argv: arguments.
      texts: flags, with dashes, whose values may contain them, such as paths.

    Raises:
      ValueError: names the argument.
    """
    before = ""
    for argument in argv:
        flag, equals, value = argument.partition("=")
        is_text = _dashed(before) in texts or (equals and _dashed(flag) in texts)
        shown = flag if is_text and equals else "" if is_text else argument
        if printable(shown) != shown:
            raise ValueError(
                f"{quoted(argument)} contains control characters: remove it"
            )
        if len(shown) > limits.ARGUMENT:
            named = f"{before} {quoted(argument)}" if before[:2] == "--" else ""
            raise ValueError(
                f"{named or quoted(argument)} is longer than {limits.ARGUMENT} "
                "characters: give a shorter one"
            )
        before = argument


def _dashed(flag: str) -> str:
    return flag.replace("_", "-")


def parse(options: type[T], argv: Sequence[str], about: str | None = None) -> T:
    """Parse the flags of a dataclass.

    Args:
      options: the dataclass.
      argv: arguments.
      about: description in --help.

    Raises:
      ValueError: an argument cannot be printed in an error.
      SystemExit: tyro has printed what is wrong with a flag, or the help.
    """
    refuse_control(argv)
    return tyro.cli(options, args=argv, description=about)


def closest(name: str, names: Iterable[str]) -> str:
    """Return the most similar of some names; "" if none is."""
    return next(iter(difflib.get_close_matches(name, list(names), 1)), "")


def printable(text: str) -> str:
    """Escape the control characters of a text."""
    return "".join(
        char
        if char == "\n" or not unicodedata.category(char) == "Cc"
        else ascii(char)[1:-1]
        for char in text
    )


def raised_by_package(error: BaseException) -> bool:
    """Return whether this package or a config file raised an error.

    C code has no frames: its errors seem to come from the caller, but from a call and
    not from a `raise`.
    """
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is None:
        return False
    frame = last.tb_frame
    # A module run by `python -m` is named __main__; its spec has the real name.
    spec = frame.f_globals.get("__spec__")
    name = getattr(spec, "name", None) or frame.f_globals.get("__name__", "")
    is_raised = frame.f_code.co_code[last.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    return name == _CONFIG or (is_raised and name.partition(".")[0] == __package__)


def load_config(location: str) -> Any:
    """Run `get_config` of a config file, given as `PATH` or `PATH:argument`.

    Raises:
      ValueError: the file does not exist, lacks `get_config`, or takes no argument.
    """
    path, colon, argument = location.partition(":")
    if not Path(path).is_file():
        known = ", ".join(str(p) for p in sorted(Path("configs").glob("*.py")))
        raise ValueError(
            f"--config {path!r} is no file; there are: {known or 'none here'}"
        )
    spec = importlib.util.spec_from_file_location(_CONFIG, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"--config {path!r} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "get_config"):
        raise ValueError(f"--config {path!r} defines no get_config()")
    if colon and not inspect.signature(module.get_config).parameters:
        raise ValueError(f"--config {path!r} takes no argument, got {argument!r}")
    return module.get_config(*([argument] if argument else []))


def parse_run(argv: Sequence[str]) -> tuple[Any, str]:
    """Parse `--config=PATH --workdir=DIR --config.field=value ...`.

    Returns:
      The config with its overrides, and the workdir.

    Raises:
      ValueError: --config is missing, is given twice, or cannot be read.
      SystemExit: tyro has printed what is wrong with a field, or the help.
    """
    refuse_control(argv)
    config, rest = _take_config(argv)
    kind = dataclasses.make_dataclass(
        "Arguments", [("config", type(config)), ("workdir", str)], frozen=True
    )
    default = kind(config=config, workdir=tyro.MISSING)
    parsed = tyro.cli(kind, default=default, args=rest, config=FLAGS)
    return parsed.config, parsed.workdir


def parse_beside_config(argv: Sequence[str], options: type[T]) -> tuple[Any, T]:
    """Parse a config and its overrides beside the flags of a dataclass.

    Raises:
      ValueError: --config is missing, is given twice, or cannot be read.
      SystemExit: tyro has printed what is wrong with a flag, or the help.
    """
    refuse_control(argv)
    if {"--help", "-h"} & set(argv):
        tyro.cli(options, args=["--help"])
    config, rest = _take_config(argv)
    kind = dataclasses.make_dataclass("Arguments", [("config", type(config))])
    parsed, others = tyro.cli(
        kind,
        default=kind(config=config),
        args=rest,
        config=FLAGS,
        return_unknown_args=True,
    )
    return parsed.config, tyro.cli(options, args=others)


def _take_config(argv: Sequence[str]) -> tuple[Any, list[str]]:
    """Load the file of --config; return the config and the other arguments."""
    argv = join_pair(argv, "--config")
    paths = [a.split("=", 1)[1] for a in argv if a.startswith("--config=")]
    rest = [a for a in argv if not a.startswith("--config=")]
    if not paths:
        if "--help" in rest or "-h" in rest:
            print(
                "usage: train.py --config=configs/FILE.py[:ARG] --workdir=DIR "
                "[--config.FIELD=VALUE ...]\n\nWith a config, --help lists its fields."
            )
            raise SystemExit(0)
        raise ValueError(
            "--config is missing: give a config file, such as "
            "--config=configs/playground_dit.py"
        )
    if len(paths) > 1:
        raise ValueError(f"--config is given {len(paths)} times, {paths}: leave one")
    return load_config(paths[0]), rest


def join_pair(argv: Sequence[str], flag: str) -> list[str]:
    """Rewrite `--flag value` as `--flag=value`."""
    joined: list[str] = []
    for argument in argv:
        if joined and joined[-1] == flag:
            joined[-1] = f"{flag}={argument}"
        else:
            joined.append(argument)
    return joined


def parse_size(text: str, field: str = "--size") -> tuple[int, int]:
    """Parse "WIDTHxHEIGHT" to (height, width).

    Raises:
      ValueError: the text has another form.
    """
    match = re.fullmatch(r"(\d{1,9})\s*[xX*×]\s*(\d{1,9})", text.strip())
    if match is None:
        raise ValueError(
            f"{field} must be WIDTHxHEIGHT, such as 64x64, got {quoted(text)}"
        )
    return int(match[2]), int(match[1])


def bars(numbers: Sequence[int], unit: str) -> Iterable[int]:
    """Show a progress bar with the remaining time."""
    return tqdm.tqdm(numbers, desc=f"{unit}s", unit=unit, leave=None)


def output_name(prompt: str) -> str:
    """Return a file name derived from a prompt."""
    words = re.findall(r"[a-z0-9]+", prompt.lower())
    return "-".join(words)[:60].rstrip("-") or "video"

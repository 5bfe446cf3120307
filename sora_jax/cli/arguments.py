"""Arguments: checks, flags of a dataclass, sizes, output names."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Sequence
from typing import TypeVar

import tyro

from sora_jax import limits
from sora_jax.cli.console import printable
from sora_jax.files import quoted

T = TypeVar("T")

# Flags of any program whose values are paths.
PATHS = ("--config", "--workdir", "--weights", "--out", "--save", "--run", "--vae")


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


def join_pair(argv: Sequence[str], flag: str) -> list[str]:
    """Rewrite `--flag value` as `--flag=value`."""
    joined: list[str] = []
    for argument in argv:
        if joined and joined[-1] == flag:
            joined[-1] = f"{flag}={argument}"
        else:
            joined.append(argument)
    return joined


def closest(name: str, names: Iterable[str]) -> str:
    """Return the most similar of some names; "" if none is."""
    return next(iter(difflib.get_close_matches(name, list(names), 1)), "")


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


def output_name(prompt: str) -> str:
    """Return a file name derived from a prompt."""
    words = re.findall(r"[a-z0-9]+", prompt.lower())
    return "-".join(words)[:60].rstrip("-") or "video"

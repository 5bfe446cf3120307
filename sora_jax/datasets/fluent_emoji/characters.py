"""What each file of the set shows: name, gender, role and tone of skin."""

from __future__ import annotations

import csv
import dataclasses
import functools
from importlib import resources

TONES = ("light", "medium-light", "medium", "medium-dark", "dark")
TONE_CODES = ("1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff")
GENDERS = ("man", "woman", "person")
_VARIANT = "fe0f"  # code point that asks for a picture; names leave it out


@dataclasses.dataclass(frozen=True, kw_only=True)
class Character:
    """A file of the set.

    Attributes:
      file: its code points, as the file is named.
      base: its code points without tones.
      package: the number of its package, from 1.
      frames: number of frames.
      name: in Unicode's words, without the tone.
      group: in Unicode's words.
      tone: of skin; "" if it has none, "light+light" for two people.
      is_in_mit_set: whether it is in the repository with an MIT licence.
      gender: of one person in a role; "" for everything else.
      role: such as "astronaut" or "biking"; "" for everything else.
    """

    file: str
    base: str
    package: int
    frames: int
    name: str
    group: str
    tone: str
    is_in_mit_set: bool
    gender: str = ""
    role: str = ""


@functools.cache
def characters() -> tuple[Character, ...]:
    """Return every animated file of the set, in the order of their names."""
    with (
        resources.files("sora_jax.datasets.fluent_emoji")
        .joinpath("files.csv")
        .open("rb") as file
    ):
        rows = list(csv.DictReader(file.read().decode().splitlines()))
    names = {row["name"] for row in rows}
    return tuple(_character(row, names) for row in rows)


def _character(row: dict[str, str], names: set[str]) -> Character:
    gender, role = gender_and_role(row["name"], names)
    return Character(
        file=row["file"],
        base=base_of(row["file"]),
        package=int(row["package"]),
        frames=int(row["frames"]),
        name=row["name"],
        group=row["group"],
        tone=row["tone"],
        is_in_mit_set=row["in_mit_repository"] == "1",
        gender=gender,
        role=role,
    )


def base_of(file: str) -> str:
    """Return code points without tones and variant selectors."""
    left_out = {*TONE_CODES, _VARIANT}
    return "-".join(code for code in file.split("-") if code not in left_out)


def gender_and_role(name: str, names: set[str]) -> tuple[str, str]:
    """Split "woman astronaut", "astronaut" or "person biking"; ("", "") for others.

    Args:
      name: of a character.
      names: of all: a role is what comes after "man" or "woman".
    """
    for gender in GENDERS:
        if name.startswith(f"{gender} "):
            return gender, name.removeprefix(f"{gender} ")
    if f"man {name}" in names or f"woman {name}" in names:
        return "person", name
    return "", ""

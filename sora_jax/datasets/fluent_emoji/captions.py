"""Compose captions: who, tone of skin, looks and motion, in many phrasings.

`captions.csv` has what is seen of each of the 734 base characters: looks, motion, and
the motion in a few words.
"""

from __future__ import annotations

import csv
import functools
import re
from importlib import resources
from typing import NamedTuple

from sora_jax.datasets.fluent_emoji.characters import Character

# Phrasings that are trained on, and others that only tests use.
PHRASINGS = (
    "{subject}{tone}",
    "{subject}{tone} {motion}",
    "{subject}{tone} {short}",
    "{bare}{tone}, {short}",
    "{subject}{tone} {looks}",
    "{subject}{tone} {looks} {motion}",
    "{toned}",
    "{toned} {motion}",
    "{toned} {looks}, {short}",
    "{gendered}{tone} {short}",
)
HELD_OUT_PHRASINGS = (
    "a clip of {subject}{tone}",
    "{toned}, who {short}",
    "{looks}: {bare}{tone}, {motion}",
)
# Names that take no article.
_BARE = {
    *("ZZZ", "fog", "fire", "wood", "hundred points", "musical notes", "paw prints"),
    *("two hearts", "revolving hearts", "lungs", "eyes", "footprints", "high voltage"),
    *("busts in silhouette", "clapping hands", "crossed fingers", "folded hands"),
    *("heart hands", "open hands", "palms up together", "pinched fingers"),
    *("raising hands", "thumbs down", "thumbs up", "clinking beer mugs"),
    *("clinking glasses", "crossed flags", "nail polish", "Mrs. Claus", "Mx Claus"),
    *("Santa Claus", "skull and crossbones"),
}
_BARE_START = re.compile(r"(people|men|women|woman and man) ")
_CLOCK = re.compile(r"(\w+)(-thirty| o’clock)")
_VOWEL = re.compile(r"(?!unicorn|one|ewe|U)[aeiouAEIO]|OK|hour")
_LOOKS = {  # of people whom their names tell by a bare noun
    "beard": "{} with a beard",
    "bald": "bald {}",
    "blond hair": "{} with blond hair",
    "red hair": "{} with red hair",
    "curly hair": "{} with curly hair",
    "white hair": "{} with white hair",
    "in tuxedo": "{} in a tuxedo",
    "with veil": "{} with a veil",
    "wearing turban": "{} wearing a turban",
    "with white cane": "{} with a white cane",
    "in manual wheelchair": "{} in a wheelchair",
    "in motorized wheelchair": "{} in a motorized wheelchair",
    "getting haircut": "{} getting a haircut",
    "getting massage": "{} getting a massage",
    "bouncing ball": "{} bouncing a ball",
    "feeding baby": "{} feeding a baby",
    "rowing boat": "{} rowing a boat",
    "raising hand": "{} raising a hand",
    "gesturing NO": "{} gesturing no",
    "gesturing OK": "{} gesturing OK",
}
_ADJECTIVES = {"man": "male", "woman": "female"}


class Seen(NamedTuple):
    """What is seen of a base character beside its name."""

    looks: str
    motion: str
    short: str


@functools.cache
def seen() -> dict[str, Seen]:
    """Return what is seen of each base character, by its code points."""
    with (
        resources.files("sora_jax.datasets.fluent_emoji")
        .joinpath("captions.csv")
        .open("rb") as file
    ):
        rows = csv.DictReader(file.read().decode().splitlines())
        return {
            row["base"]: Seen(row["looks"], row["motion"], row["short"]) for row in rows
        }


def captions_of(
    character: Character, phrasings: tuple[str, ...] = PHRASINGS
) -> tuple[str, ...]:
    """Return the captions of a character, each once."""
    what = seen()[character.base]
    name = noun_of(character)
    tone, adjective = tone_phrases(character.tone)
    # "A dark-skinned astronaut", but "raised hands with dark skin".
    toned = f"{adjective}{name}" if takes_article(name) else f"{name}{tone}"
    words = {
        "subject": with_article(name),
        "bare": name,
        "tone": tone,
        "toned": with_article(toned) if takes_article(name) else toned,
        "gendered": with_article(gendered(character, name)),
        **what._asdict(),
    }
    texts = (phrasing.format(**words).strip() for phrasing in phrasings)
    return tuple(dict.fromkeys(texts))


def noun_of(character: Character) -> str:
    """Return the name as one would say it."""
    name = character.name
    if clock := _CLOCK.fullmatch(name):
        half = clock[2] == "-thirty"
        return (
            f"clock at half past {clock[1]}" if half else f"clock at {clock[1]} o'clock"
        )
    if character.role in _LOOKS:
        return _LOOKS[character.role].format(character.gender)
    if name.startswith("family "):
        return "family of " + _listed(name.removeprefix("family "))
    for pair in ("couple with heart ", "kiss "):
        if name.startswith(pair):
            return f"{pair.strip()} of {_listed(name.removeprefix(pair))}"
    return name


def _listed(names: str) -> str:
    *first, last = re.split(r", ?", names)
    if not first:
        return last
    return f"{', '.join(first)} and {last}"


def tone_phrases(tone: str) -> tuple[str, str]:
    """Return " with dark skin" and "dark-skinned "; empty without a tone."""
    one = tone.partition("+")[0]  # of two people, both have the same
    return (f" with {one} skin", f"{one}-skinned ") if one else ("", "")


def gendered(character: Character, name: str) -> str:
    """Return "female astronaut" for a woman of a role that has a noun."""
    role, adjective = character.role, _ADJECTIVES.get(character.gender)
    is_noun = name == f"{character.gender} {role}" and not re.match(
        r"\w+ing\b|in ", role
    )
    return f"{adjective} {role}" if adjective and is_noun else name


def takes_article(name: str) -> bool:
    """Return whether a name is a singular noun."""
    return name not in _BARE and not _BARE_START.match(name)


def with_article(name: str) -> str:
    """Put "a" or "an" before a name, unless it takes none."""
    if not takes_article(name):
        return name
    return f"an {name}" if _VOWEL.match(name) else f"a {name}"

"""Find the objects that a text names, and their attributes."""

from __future__ import annotations

import dataclasses
import re

from sora_jax.worlds.playground import words, world

_SHAPES = sorted(
    {word for forms in words.SHAPE_WORDS.values() for word in forms}, key=len
)
_SIZES = {word for forms in words.SIZE_WORDS.values() for word in forms}
_EITHER = "|".join(reversed(_SHAPES))  # "plus sign" before its parts
# "in a circle" says how something moves.
_COLOURS = "|".join(world.COLOURS)
# "in a circle" says how something moves; captions may leave the article out.
_NOUN = re.compile(
    rf"(?<!in )\b(?:(?:an?|the|one|another|first)\s+(?P<before>(?:[\w-]+\s+){{0,3}}?)"
    rf"|(?P<bare>(?:(?:{'|'.join(sorted(_SIZES))})\s+)?(?:{_COLOURS})\s+))"
    rf"(?P<shape>{_EITHER})\b"
    r"(?:\s+(?:in|that is)\s+(?P<after>[\w-]+)\b(?!\s+(?:of|a|the)\b))?",
    re.IGNORECASE,
)
# Adjectives that captions use of walls, floors and the sky, never of objects.
_OF_PLACES = frozenset(
    "grey gray brown dark light pale striped dotted checkered".split()
)
FEWEST, MOST = 1, 2  # bodies that one shot shows


@dataclasses.dataclass(frozen=True, kw_only=True)
class Noun:
    """An object as a text names it.

    Attributes:
      text: the words that name it.
      shape: what it is.
      start: where they begin.
      stop: where they end.
      said: its adjectives, such as ("small", "red").
    """

    text: str
    shape: str
    start: int
    stop: int
    said: tuple[str, ...]

    @property
    def colour(self) -> str:
        """Its colour, if it is one that bodies have."""
        return next((word for word in self.said if word in world.COLOURS), "")


def find_nouns(text: str) -> list[Noun]:
    """Find the objects of a text, in order."""
    found = []
    for match in _NOUN.finditer(text):
        after = (match["after"] or "").lower()
        is_said = after in world.COLOURS or after in _OF_PLACES
        said = [
            *(match["before"] or match["bare"] or "").lower().split(),
            *([after] if is_said else []),
        ]
        stop = match.end() if is_said else match.end("shape")
        found.append(
            Noun(
                text=text[match.start() : stop],
                shape=match["shape"].lower(),
                start=match.start(),
                stop=stop,
                said=tuple(said),
            )
        )
    return found


def doubts(text: str) -> list[str]:
    """Yield warnings about objects in a shot's text that the playground lacks."""
    nouns, lines = find_nouns(text), []
    sizes = "small, medium-sized or big"
    for noun in nouns:
        if strange := [word for word in noun.said if word in _OF_PLACES]:
            lines.append(
                f"knows no {' '.join(strange)} {noun.shape}: objects are "
                f"{', '.join(world.COLOURS)}, and {sizes}"
            )
        colours = [word for word in noun.said if word in world.COLOURS]
        if len(colours) > 1:
            lines.append(
                f"knows no object of two colours ({noun.text!r}): name one of them"
            )
    coloured = {noun.text.lower() for noun in nouns if noun.colour}
    if len(coloured) > MOST:
        lines.append(
            f"knows {FEWEST} or {MOST} objects in a shot, and reads of {len(coloured)} "
            f"({', '.join(sorted(coloured))}): leave some out, or write a storyboard"
        )
    return lines


def names_a_body(text: str) -> bool:
    """Return whether a text names an object and its colour."""
    return any(noun.colour for noun in find_nouns(text))

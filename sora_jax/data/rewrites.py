"""What people say, in the words that captions of the playground say it with.

The tables are `sayings`. A row counts where a model has read all words of what it leads
to: no other model's prompts are touched, and what captions say stays as it is, but for
a passage behind a wall whose direction is not said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from sora_jax.data import nouns, words, world
from sora_jax.data.sayings import (
    ASPECT,
    CAMERA,
    LIGHT,
    MEET,
    MOTIONS,
    NOT_THE_CAMERA,
    RELATIONS,
    SPELLINGS,
    SPOKEN,
)

_FROM = r"from (?:the )?{}(?: corner)? to (?:the )?{}(?: corner)?"
_CUT = (
    r"[;,.]?\s+(?:and )?(?:then )?cut to:? |; then |[,.]? (?:and )?then,? |"
    r"\. next,? "
)
_PASSES = (
    r"\b(?:passes|goes|moves|disappears|vanishes|hides|travels|slides|is hidden) "
    r"(?:behind|by) a grey wall"
    r"(?: and (?:comes out|comes back|reappears|appears)(?: again)?| for a moment)?"
)
_ENDS = {"bottom": "up", "top": "down"}


def read(text: str, known: Collection[str]) -> str:
    """Say a prompt in the words of captions, where that is known to help.

    Args:
      text: of one shot.
      known: all words that the model has read; without any, nothing is changed.
    """
    if not known:
        return text
    text = _spelled(text, known)
    for step in (_diagonals, _motions, _relations, _meeting, _behind):
        changed = step(text, known)
        text = changed if _words(changed) - _words(text) <= set(known) else text
    return _sub(r"\b(a)n (?=ball|cyan|huge)", r"\1 ", text)


def speaks(known: Collection[str]) -> bool:
    """Whether a model has read the words of the playground: its prompts have shots."""
    shapes = {word for form in words.SHAPE_WORDS.values() for word in form[0].split()}
    return shapes | set(world.COLOURS) <= set(known)


def shots(text: str, known: Collection[str]) -> list[str]:
    """The shots of a prompt that tells of a cut: each names a body; else the prompt."""
    if not speaks(known):
        return [text]
    first = re.sub(r"^\s*first,? ", "", _spelled(text, known), flags=re.IGNORECASE)
    parts = [part.strip(" ,;.") for part in re.split(_CUT, first, flags=re.IGNORECASE)]
    tells = len(parts) > 1 and all(map(nouns.names_a_body, parts))
    return parts if tells else [text]


def is_story(text: str) -> bool:
    """Whether a shot's text tells of what comes after."""
    return bool(
        re.search(r"\b(?:then|cut to|next|afterwards|after that)\b(?! to)", text)
    )


def _spelled(text: str, known: Collection[str]) -> str:
    for said, meant in (*LIGHT, *SPELLINGS, *CAMERA):
        text = _replaced(text, rf"\b(?:{said})\b", meant, known)
    return text


def _motions(text: str, known: Collection[str]) -> str:
    for said, meant in MOTIONS:
        pattern = rf"{NOT_THE_CAMERA}(?<!\bdusk )\b(?:{said})\b"
        text = _replaced(text, pattern, meant, known)
    return text


def _relations(text: str, known: Collection[str]) -> str:
    for said, meant in RELATIONS:
        text = _replaced(text, rf"\b(?:{said})", meant, known)
    return text


def _diagonals(text: str, known: Collection[str]) -> str:
    """A way across: up and to the right where it is not said (0 of 16, and 16)."""
    del known
    for top, vertical in _ENDS.items():
        other = "top" if top == "bottom" else "bottom"
        for side, across in (("left", "right"), ("right", "left")):
            path = _FROM.format(f"{top}[- ]{side}", f"{other}[- ]{across}")
            text = _sub(
                rf"\b(?:diagonally )?{path}", f"{vertical} and to the {across}", text
            )
    ways = r"(?P<ways>(?:,? (?:and |to the |towards? the |up\w*|down\w*|left|right)+)*)"
    by_itself = rf"\b(?P<verb>{SPOKEN}|{ASPECT}) diagonally\b{ways}"
    text = _sub(by_itself, _across, text)
    text = _sub(
        r"\b(climbs|climbing|sinks|sinking) diagonally(?! to the)",
        r"\1 diagonally to the right",
        text,
    )
    return _sub(
        rf"\b({SPOKEN}|{ASPECT}) (?:to the )?(right|left) and (up|down)\b",
        r"\1 \3 and to the \2",
        text,
    )


def _across(match: re.Match) -> str:
    ways = match["ways"].lower()
    vertical = "down" if "down" in ways else "up"
    side = "left" if "left" in ways else "right"
    return f"{match['verb']} {vertical} and to the {side}"


def _meeting(text: str, known: Collection[str]) -> str:
    """ "They collide", after both were named: nothing beside it is known of them.

    In a sentence of its own it was seen in none of 16 videos, and in 10 as it is read.
    """
    del known
    told = re.search(
        rf"[,.;]?\s*(?:(?:and|then|while|until)\s+)*\b(?:they|both)\s+(?:then\s+)?"
        rf"(?:{MEET})\b(?: (?:with )?(?:each other|one another))?",
        text,
        re.IGNORECASE,
    )
    found = nouns.find(text)
    if told is None or len(found) != 2:
        return text
    one, other = found
    # Of what was said beside them, the place counts and no motion.
    place = re.search(
        r" (?:on|above|over|in front of|against) [^,.;]*",
        text[other.stop : told.start()],
    )
    between = place[0].rstrip() if place else ""
    opening = text[: one.start]
    return f"{opening}{one.text} and {other.text} collide{between}{text[told.end() :]}"


def _behind(text: str, known: Collection[str]) -> str:
    """A wall is grey, and what passes behind it has a direction (5 of 16, and 16)."""
    del known
    text = _sub(r"\bbehind (?:an?|the) wall\b", "behind a grey wall", text)
    if re.search(r"\b(?:left|right)\b", text, re.IGNORECASE):
        return text
    told = re.search(_PASSES, text, re.IGNORECASE)
    if told is None:
        return text
    meant = "moves right and passes behind a grey wall"
    return text[: told.start()] + meant + text[told.end() :]


def _replaced(text: str, said: str, meant: str, known: Collection[str]) -> str:
    """Replace what is said, where all words of what is meant were read."""
    letters = set(re.findall(r"[a-z]+", re.sub(r"\\\d", " ", meant)))
    return _sub(said, meant, text) if letters <= set(known) else text


def _sub(said: str, meant: str | Callable[[re.Match], str], text: str) -> str:
    return re.sub(said, meant, text, flags=re.IGNORECASE)


def _words(text: str) -> set[str]:
    return set(re.findall(r"[^\W\d_]+", text.lower()))

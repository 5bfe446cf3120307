"""Rewrite prompts in the vocabulary of the playground's captions.

The tables are in `rewrite_tables`. A row applies only if the model was trained on all
words of its replacement, so prompts of other models do not change. Captions do not
change either, except a passage behind a wall without a direction.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from sora_jax.worlds.playground import nouns, words, words_rich, world
from sora_jax.worlds.playground.rewrite_tables import (
    ASPECT,
    CAMERA,
    END,
    LIGHT,
    MEET,
    MOTIONS,
    NOT_THE_CAMERA,
    ON,
    RELATIONS,
    SHAPES,
    SPELLINGS,
    SPOKEN,
)

_FROM = r"from (?:the )?{}(?: corner)? to (?:the )?{}(?: corner)?"
_CUT = (
    r"[;,.]?\s+(?:and )?(?:then )?cut to:? |; then |[,.]? (?:and )?then,? |"
    r"\. next,? "
)
_PASSES = (
    rf"{NOT_THE_CAMERA}\b"
    r"(?:passes|goes|moves|disappears|vanishes|hides|travels|slides|is hidden) "
    r"(?:behind|by) a grey wall"
    r"(?: and (?:comes out|comes back|reappears|appears)(?: again)?| for a moment)?"
)
# Words that may stand between an object and its verb.
_OF_BODIES = frozenset(
    re.findall(
        r"[a-z]+",
        " ".join(
            [
                *(phrase for many in words.MOTION_PHRASES.values() for phrase in many),
                *(form for forms in words.VERBS.values() for form in forms),
                *(said for said, _ in MOTIONS),
                "it that which who is are be can seen also just again always soon and "
                "in this a short video clip we see there on color coloured colored",
                *world.COLOURS,
            ]
        ),
    )
) - {"camera", "viewer", "us"}
_PREPOSITIONS = frozenset(
    "on in at over above against near behind under below beneath underneath with from "
    "across inside to beside between".split()
)
_BODIES = re.compile(rf"(?<!\bin )(?<!\bin a )\b(?:{SHAPES})(?:e?s)?\b", re.IGNORECASE)
_CLAUSES = re.compile(
    r"[,;.:!?]|\b(?:and|while|as|then|but|until|when)\b", re.IGNORECASE
)
# Words of a vocabulary that was trained on many phrasings.
_RICH = frozenset(form for forms in words_rich.VERBS.values() for form in forms)
_FAR = 200  # characters between a verb and its subject
_ENDS = {"bottom": "up", "top": "down"}


def rewrite(text: str, known: Collection[str]) -> str:
    """Rewrite a prompt where that is measured to help.

    Args:
      text: of one shot.
      known: the model's vocabulary; if empty, nothing changes.
    """
    if not known:
        return text
    text = _spelled(" ".join(text.split()), known)
    # A relation may depend on a verb that a later row rewrites: apply them again.
    steps = (_relations, _motions, _relations)
    if not _is_rich(known):  # such a model has read these as they are said
        steps = (_diagonals, *steps, _meeting, _behind)
    for step in steps:
        changed = step(text, known)
        text = changed if _words(changed) - _words(text) <= set(known) else text
    return _sub(r"\b(a)n (?=ball|cyan|huge)", r"\1 ", text)


def speaks(known: Collection[str]) -> bool:
    """Return whether a model was trained on the playground's vocabulary."""
    shapes = {word for form in words.SHAPE_WORDS.values() for word in form[0].split()}
    return shapes | set(world.COLOURS) <= set(known)


def shots(text: str, known: Collection[str]) -> list[str]:
    """Split a prompt at cuts if every shot names an object; else return it whole."""
    if not speaks(known):
        return [text]
    first = _spelled(" ".join(text.split()), known)
    first = re.sub(r"^first,? ", "", first, flags=re.IGNORECASE)
    parts = [part.strip(" ,;.") for part in re.split(_CUT, first, flags=re.IGNORECASE)]
    tells = len(parts) > 1 and all(map(nouns.names_a_body, parts))
    return parts if tells else [text]


def is_story(text: str) -> bool:
    """Return whether a shot's text describes a sequence of events."""
    return bool(
        re.search(r"\b(?:then|cut to|next|afterwards|after that)\b(?! to)", text)
    )


def _spelled(text: str, known: Collection[str]) -> str:
    for said, meant in (*LIGHT, *SPELLINGS, *CAMERA):
        text = _replaced(text, rf"\b(?:{said})\b", meant, known)
    return text


def _motions(text: str, known: Collection[str]) -> str:
    for said, meant in MOTIONS:
        text = _replaced(text, rf"\b(?:{said})\b{ON}", meant, known, _is_of_a_body)
    return text


def _is_of_a_body(verb: re.Match) -> bool:
    """Return whether a verb's subject is an object (not rain, camera or light)."""
    before = verb.string[max(0, verb.start() - _FAR) : verb.start()]
    bodies = list(_BODIES.finditer(before))
    if not bodies:  # "jumping, a red ball ..."
        follows = _BODIES.search(verb.string[verb.end() : verb.end() + _FAR])
        return verb.start() < _FAR and bool(follows) and not _strange(before)
    return not any(map(_strange, _CLAUSES.split(before[bodies[-1].end() :])))


def _strange(piece: str) -> bool:
    """Return whether part of a sentence names another possible subject."""
    for word in re.findall(r"[\w'-]+", piece.lower()):
        if word in _PREPOSITIONS:
            return False  # what follows says where
        if word not in _OF_BODIES and not word.endswith("ly"):
            return True
    return False


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
    by_itself = rf"{NOT_THE_CAMERA}\b(?P<verb>{SPOKEN}|{ASPECT}) diagonally\b{ways}"
    text = _sub(by_itself, _across, text)
    text = _sub(
        r"\b(climbs|climbing|sinks|sinking) diagonally(?! (?:to|left|right|up|down)\b)",
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
        rf"(?:{MEET})\b(?: (?:with )?(?:each other|one another))?(?:{END}|(?= (?:on|in|"
        r"above|over|against|again)\b))",
        text,
        re.IGNORECASE,
    )
    found = nouns.find_nouns(text)
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


def _replaced(
    text: str,
    said: str,
    meant: str,
    known: Collection[str],
    where: Callable[[re.Match], bool] = bool,
) -> str:
    """Replace a pattern if all words of the replacement are in the vocabulary.

    A model of many phrasings reads what it knows as it is said.
    """
    letters = set(re.findall(r"[a-z]+", re.sub(r"\\\d", " ", meant)))
    if not letters <= set(known):
        return text
    kept = known if _is_rich(known) else ()

    def replace(match: re.Match) -> str:
        is_known = _words(match[0]) <= set(kept)
        return match.expand(meant) if where(match) and not is_known else match[0]

    return _sub(said, replace, text)


def _is_rich(known: Collection[str]) -> bool:
    """Return whether a model was trained on many phrasings."""
    return _RICH <= set(known)


def _sub(said: str, meant: str | Callable[[re.Match], str], text: str) -> str:
    return re.sub(said, meant, text, flags=re.IGNORECASE)


def _words(text: str) -> set[str]:
    return set(re.findall(r"[^\W\d_]+", text.lower()))

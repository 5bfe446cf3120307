"""Phrasebooks: what captions are composed of. One is plain, one rich, one held out.

The rich one says every fact in more ways, as different writers would. The held-out one
says the same in phrases of their own, of words that the rich one has: no model is
trained on them, so that they tell whether it reads words or has learned phrases.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from sora_jax.worlds.playground import words, words_held_out, words_rich

Phrases = tuple[str, ...]
# How the subject is told, by relation and by whether motions are stated.
Subjects = Mapping[tuple[str, bool], Phrases]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Phrasebook:
    """The tables of `words`, or others of the same form; see there."""

    shape_words: Mapping[str, Phrases]
    size_words: Mapping[str, Phrases]
    nouns: Phrases
    motion_phrases: Mapping[str, Phrases]
    verbs: Mapping[str, tuple[str, str]]
    subjects: Subjects
    loose_pair: Phrases
    loose_pair_moving: Phrases
    background_words: Mapping[str, Phrases]
    places: Mapping[str, Phrases]
    camera_clauses: Mapping[str, Phrases]
    light_clauses: Mapping[str, Phrases]
    first_connectors: Phrases
    last_connectors: Phrases
    image_openings: Phrases
    video_openings: Phrases
    cuts: Phrases
    turns: Phrases


def _tables(module: Any) -> dict[str, Any]:
    """Return the tables of a module that has some of a phrasebook's."""
    names = [field.name for field in dataclasses.fields(Phrasebook)]
    found = {name: getattr(module, name.upper(), None) for name in names}
    return {name: table for name, table in found.items() if table is not None}


def _with_more(book: Phrasebook, more: Mapping[str, Any]) -> Phrasebook:
    """Add phrases to those of a phrasebook."""
    return dataclasses.replace(
        book, **{name: _joined(getattr(book, name), more[name]) for name in more}
    )


def _joined(table: Any, more: Any) -> Any:
    if isinstance(table, tuple):
        return (*table, *more)
    merged = {
        name: (*phrases, *more.get(name, ())) if name in more else phrases
        for name, phrases in table.items()
    }
    return {**more, **merged}


PLAIN = Phrasebook(**_tables(words))
RICH = _with_more(PLAIN, _tables(words_rich))
HELD_OUT = dataclasses.replace(RICH, **_tables(words_held_out))
BOOKS: Mapping[str, Phrasebook] = {"plain": PLAIN, "rich": RICH, "held_out": HELD_OUT}

"""Caption a stretch, in many phrasings from terse to long.

A caption is a text and the names of the facts that it states. Only stated facts are
judged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from sora_jax.worlds.playground import world
from sora_jax.worlds.playground.chance import choose, pick
from sora_jax.worlds.playground.phrasebook import PLAIN, Phrasebook

# How often each level of detail is drawn: half of all captions state every main fact.
DETAILS = (("terse", 0.22), ("plain", 0.26), ("full", 0.34), ("long", 0.18))
# Probability that a less than full caption states a fact.
_ODDS = {"terse": 0.45, "plain": 0.8}
# Defaults, which only long captions state.
_USUAL = {("camera", "still"), ("light", "steady"), ("size", "medium")}


@dataclasses.dataclass(frozen=True, kw_only=True)
class StatedCaption:
    """The caption of the frames from `start` to `stop`, with the facts that it states.

    Attributes:
      start: first frame.
      stop: one past the last frame.
      text: lower-case words.
      stated: the keys of `facts` that the text states.
    """

    start: int
    stop: int
    text: str
    stated: frozenset[str]


def facts(stretch: world.SceneStretch) -> dict[str, str]:
    """Return all facts that a caption can state, such as {"colour.0": "red"}."""
    known = {"background": stretch.background}
    is_video = stretch.stop - stretch.start > 1
    for number, body in enumerate(stretch.bodies):
        known[f"colour.{number}"] = body.colour
        known[f"shape.{number}"] = body.shape
        if body.size:
            known[f"size.{number}"] = body.size
        if is_video and body.motion != "collide":
            known[f"motion.{number}"] = body.motion
    if stretch.relation:
        known["relation"] = stretch.relation
    if is_video:
        known |= {"camera": stretch.camera, "light": stretch.light}
    return known


def caption(
    stretch: world.SceneStretch,
    rng: np.random.Generator,
    detail: str | None = None,
    book: Phrasebook = PLAIN,
) -> StatedCaption:
    """Describe a stretch.

    Args:
      stretch: what to describe.
      rng: draws the phrasing.
      detail: "terse", "plain", "full" or "long"; None draws one.
      book: has the phrases.
    """
    detail = detail or pick(rng, DETAILS)
    known = facts(stretch)
    stated = _draw_stated(known, rng, detail)
    is_terse = detail == "terse"
    text = _subject(stretch, stated, rng, is_terse, book)
    if "background" in stated:
        text = _with_place(text, stretch, rng, is_terse, book)
    text += _surroundings(stretch, stated, rng, is_terse, book)
    if detail == "long":
        text = _opening(text, stretch, rng, book) + text
    return StatedCaption(
        start=stretch.start, stop=stretch.stop, text=text, stated=stated
    )


def joined(
    parts: Sequence[StatedCaption],
    rng: np.random.Generator,
    *,
    has_cut: bool = True,
    book: Phrasebook = PLAIN,
) -> str:
    """Join the captions of one or two stretches to one text."""
    texts = [part.text for part in parts]
    if len(texts) == 1:
        return texts[0]
    return choose(rng, book.cuts if has_cut else book.turns).format(*texts)


def _draw_stated(
    known: dict[str, str], rng: np.random.Generator, detail: str
) -> frozenset[str]:
    """Draw which facts to state: always the shapes, mostly the motions."""
    stated = set()
    says_motion = rng.random() < _ODDS.get(detail, 1.0)
    for key, value in known.items():
        kind = key.split(".")[0]
        is_drawn = rng.random() < _ODDS.get(detail, 1.0)
        if kind in ("colour", "shape"):
            is_drawn = True
        elif kind == "motion":  # both of a pair or none
            is_drawn = says_motion
        elif (kind, value) in _USUAL:
            is_drawn = detail == "long"
        if is_drawn:
            stated.add(key)
    return frozenset(stated)


def _subject(
    stretch: world.SceneStretch,
    stated: frozenset[str],
    rng: np.random.Generator,
    is_terse: bool,
    book: Phrasebook,
) -> str:
    says_motion = "motion.0" in stated
    if "relation" in stated or len(stretch.bodies) == 1:
        relation = stretch.relation if "relation" in stated else ""
        templates = book.subjects[relation, says_motion]
    else:
        templates = book.loose_pair_moving if says_motion else book.loose_pair
    parts = {}
    for letter, number in zip("ab", range(len(stretch.bodies)), strict=False):
        body = stretch.bodies[number]
        parts[letter] = _noun(body, f"size.{number}" in stated, rng, is_terse, book)
        if f"motion.{number}" in stated:
            phrase = choose(rng, book.motion_phrases[body.motion])
            verb, *rest = phrase.split()
            for form, inflected in zip(
                ("does", "doing"), book.verbs[verb], strict=True
            ):
                parts[f"{letter}_{form}"] = " ".join((inflected, *rest))
    template = templates[0] if is_terse else choose(rng, templates)
    return template.format(**parts)


def _noun(
    body: world.Body,
    says_size: bool,
    rng: np.random.Generator,
    is_terse: bool,
    book: Phrasebook,
) -> str:
    size = choose(rng, book.size_words[body.size]) + " " if says_size else ""
    shape = choose(rng, book.shape_words[body.shape])
    template = book.nouns[0] if is_terse else choose(rng, book.nouns)
    noun = template.format(size=size, colour=body.colour, shape=shape)
    if is_terse:
        return noun
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _with_place(
    text: str,
    stretch: world.SceneStretch,
    rng: np.random.Generator,
    is_terse: bool,
    book: Phrasebook,
) -> str:
    background = choose(rng, book.background_words[stretch.background])
    if is_terse:
        return f"{text}, {background.removeprefix('a ')}"
    place = choose(rng, book.places[_footing(stretch)]).format(background)
    return f"{place}, {text}" if rng.random() < 0.25 else f"{text} {place}"


def _footing(stretch: world.SceneStretch) -> str:
    if stretch.background not in world.FLOORS:
        return "wall"
    stands = [world.MOTIONS[body.motion].stands for body in stretch.bodies]
    if stretch.relation == "above":  # only the lower one could stand
        stands = stands[1:]
    return "standing" if all(stands) else "mixed" if any(stands) else "floating"


def _opening(
    text: str, stretch: world.SceneStretch, rng: np.random.Generator, book: Phrasebook
) -> str:
    if stretch.stop - stretch.start > 1:
        return choose(rng, book.video_openings)
    return choose(rng, book.image_openings) if text.startswith(("a ", "an ")) else ""


def _surroundings(
    stretch: world.SceneStretch,
    stated: frozenset[str],
    rng: np.random.Generator,
    is_terse: bool,
    book: Phrasebook,
) -> str:
    clauses = []
    if "camera" in stated:
        clauses.append(choose(rng, book.camera_clauses[stretch.camera]))
    if "light" in stated:
        clauses.append(choose(rng, book.light_clauses[stretch.light]))
    if is_terse:
        return "".join(f", {clause.removeprefix('the ')}" for clause in clauses)
    if rng.random() < 0.5:
        clauses.reverse()
    connectors = (book.first_connectors, book.last_connectors)
    return "".join(
        choose(rng, options) + clause
        for options, clause in zip(connectors, clauses, strict=False)
    )

"""What must hold of the playground's captions."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from sora_jax.config import PlaygroundConfig
from sora_jax.models.tokenizer import train_tokenizer, words_of
from sora_jax.worlds.playground import (
    captions,
    words,
    words_held_out,
    words_rich,
    world,
)
from sora_jax.worlds.playground.phrasebook import BOOKS, HELD_OUT, PLAIN, RICH
from sora_jax.worlds.playground.source import Playground

CONFIG = PlaygroundConfig()
SOURCE = Playground(CONFIG)
SCENES = [SOURCE.scene(index) for index in range(400)]
STRETCHES = [stretch for scene in SCENES for stretch in scene.stretches]
BODIES = [(stretch, body) for stretch in STRETCHES for body in stretch.bodies]


def source(**changes) -> Playground:
    return Playground(dataclasses.replace(CONFIG, **changes))


MOTIONS = tuple(PLAIN.motion_phrases)
# Each phrase of a relation has at least one of these words.
RELATION_WORDS = {
    "left of": ("left", "right"),
    "above": ("above", "over", "below", "underneath", "at the top"),
    "collide": ("collide", "collides", "bump", "bumps", "crash", "crashes", "collision")
    + ("run into each other", "hit each other"),
    "behind": ("behind a grey wall", "behind a wall", "hidden", "hides"),
}


def inflected(motion: str, book=PLAIN) -> set[str]:
    forms = set()
    for phrase in book.motion_phrases[motion]:
        verb, *rest = phrase.split()
        forms |= {" ".join((form, *rest)) for form in book.verbs[verb]}
    return forms


def wordings(kind: str, value: str, book=PLAIN) -> set[str]:
    if kind == "colour":
        return {value, f"{value}-coloured"}
    if kind == "motion":
        return inflected(value, book)
    tables = {
        "shape": book.shape_words,
        "size": book.size_words,
        "background": book.background_words,
        "camera": book.camera_clauses,
        "light": book.light_clauses,
        "relation": RELATION_WORDS,
    }
    return {
        text.removeprefix("a ").removeprefix("the ") for text in tables[kind][value]
    }


def mentions(text: str, wording: set[str]) -> bool:
    spaced = text.replace(",", " ,").replace(";", " ;")
    return any(f" {words} " in f" {spaced} " for words in wording)


@pytest.mark.parametrize("book", BOOKS.values(), ids=BOOKS)
def test_captions_say_what_they_state_and_nothing_else(book):
    rng = np.random.default_rng(0)
    for stretch in STRETCHES:
        caption = captions.caption(stretch, rng, book=book)
        known = captions.facts(stretch)
        assert caption.stated <= set(known)
        assert caption.text.isascii() and caption.text == caption.text.lower()
        assert "  " not in caption.text and "{" not in caption.text
        kinds = {key.split(".")[0] for key in caption.stated}
        for key in caption.stated:
            kind = key.split(".")[0]
            assert mentions(caption.text, wordings(kind, known[key], book)), (
                key,
                caption,
            )
        for kind, values in {
            "background": world.BACKGROUNDS,
            "camera": world.CAMERAS,
            "light": world.LIGHTS,
            "size": world.DIAMETERS,
        }.items():
            said = {known[key] for key in caption.stated if key.startswith(kind)}
            for value in set(values) - said:
                assert not mentions(caption.text, wordings(kind, value, book)), caption
        if "motion" not in kinds:
            for motion in book.motion_phrases:
                assert not mentions(caption.text, inflected(motion, book)), caption


def vocabulary(book) -> set[str]:
    """Every word that captions of a phrasebook may have."""

    def texts(table):
        if isinstance(table, str):
            yield table
            return
        for item in table.values() if isinstance(table, dict) else table:
            yield from texts(item)

    tables = {**vars(book), "motion_phrases": {m: inflected(m, book) for m in MOTIONS}}
    del tables["verbs"]
    return {
        word
        for table in tables.values()
        for text in texts(table)
        for word in words_of(re.sub(r"{\w+}", " ", text))
    }


def test_held_out_phrases_are_new_and_their_words_are_not():
    assert vocabulary(PLAIN) < vocabulary(RICH)
    assert vocabulary(HELD_OUT) <= vocabulary(RICH)
    for name in set(vars(words_held_out)) & {n.upper() for n in vars(HELD_OUT)}:
        held_out, rich = getattr(HELD_OUT, name.lower()), getattr(RICH, name.lower())
        pairs = [(held_out, rich)]
        if isinstance(held_out, dict):
            pairs = [(phrases, rich[key]) for key, phrases in held_out.items()]
        assert all(new and not set(new) & set(old) for new, old in pairs), name
    said = {
        name: {source(phrasing=name).captions(index)[1] for index in range(300)}
        for name in BOOKS
    }
    assert not said["held_out"] & (said["plain"] | said["rich"])


def test_the_rich_book_says_every_verb_once():
    assert not set(words.VERBS) & set(words_rich.VERBS)


@pytest.mark.parametrize("book", BOOKS)
def test_nearly_all_captions_are_read_whole(book):
    texts = [source(phrasing=book).captions(index)[1] for index in range(300)]
    tokenizer = train_tokenizer(texts, vocab_size=600)
    counts = [np.count_nonzero(tokenizer.encode(text, 200)) for text in texts]
    assert np.mean(np.array(counts) <= 64) > 0.98  # TextConfig.pad_to of the default


def test_an_image_says_nothing_of_time():
    images = source(frames=((1, 1.0),))
    for index in range(60):
        (stretch,) = images.scene(index).stretches
        assert {body.motion for body in stretch.bodies} == {"still"}
        assert (stretch.camera, stretch.light) == ("still", "steady")
        kinds = {key.split(".")[0] for key in captions.facts(stretch)}
        assert not kinds & {"motion", "camera", "light"}


def test_captions_vary_and_are_short():
    rng = np.random.default_rng(0)
    for stretch in STRETCHES[:20]:
        texts = {captions.caption(stretch, rng).text for _ in range(100)}
        assert len(texts) > 30
    lengths = [len(SOURCE.captions(index)[1].split()) for index in range(400)]
    assert max(lengths) <= 48
    assert min(lengths) <= 3


def test_half_of_the_captions_state_all_that_matters():
    rng = np.random.default_rng(0)
    complete = []
    for stretch in STRETCHES:
        usual = {"camera": "still", "light": "steady", "size": "medium"}
        needed = {
            key
            for key, value in captions.facts(stretch).items()
            if usual.get(key.split(".")[0]) != value
        }
        complete.append(needed <= captions.caption(stretch, rng).stated)
    assert 0.45 < np.mean(complete) < 0.8


def test_each_stretch_of_a_cut_has_its_caption():
    cuts = source(frames=((33, 1.0),), kinds=(("cut", 1.0),))
    for index in range(10):
        parts, text = cuts.captions(index)
        assert [(part.start, part.stop) for part in parts] == [
            (stretch.start, stretch.stop) for stretch in cuts.scene(index).stretches
        ]
        assert all(part.text in text for part in parts)


def test_the_readme_prompt_is_spoken_here():
    bounces = [
        stretch
        for stretch, body in BODIES
        if (body.motion, stretch.background) == ("bounce", "green floor")
        and not stretch.relation
        and body.size == "big"
    ]
    rng = np.random.default_rng(0)
    body = bounces[0].bodies[0]
    texts = {captions.caption(bounces[0], rng, "full").text for _ in range(2000)}
    told = f"{body.colour} {body.shape} bounces on a green floor"
    assert any(text.startswith(("a big", "an big")) and told in text for text in texts)

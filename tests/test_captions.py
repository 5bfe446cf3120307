"""What must hold of the playground's captions."""

from __future__ import annotations

import dataclasses

import numpy as np

from sora_jax.config import PlaygroundConfig
from sora_jax.worlds.playground import captions, words, world
from sora_jax.worlds.playground.source import Playground

CONFIG = PlaygroundConfig()
SOURCE = Playground(CONFIG)
SCENES = [SOURCE.scene(index) for index in range(400)]
STRETCHES = [stretch for scene in SCENES for stretch in scene.stretches]
BODIES = [(stretch, body) for stretch in STRETCHES for body in stretch.bodies]


def source(**changes) -> Playground:
    return Playground(dataclasses.replace(CONFIG, **changes))


# Each phrase of a relation has at least one of these words.
RELATION_WORDS = {
    "left of": ("left", "right"),
    "above": ("above", "over", "below", "underneath", "at the top"),
    "collide": ("collide", "collides", "bump", "crash", "collision"),
    "behind": ("behind a grey wall", "hidden"),
}


def inflected(motion: str) -> set[str]:
    forms = set()
    for phrase in words.MOTION_PHRASES[motion]:
        verb, *rest = phrase.split()
        forms |= {" ".join((form, *rest)) for form in words.VERBS[verb]}
    return forms


def wordings(kind: str, value: str) -> set[str]:
    if kind == "colour":
        return {value}
    if kind == "motion":
        return inflected(value)
    tables = {
        "shape": words.SHAPE_WORDS,
        "size": words.SIZE_WORDS,
        "background": words.BACKGROUND_WORDS,
        "camera": words.CAMERA_CLAUSES,
        "light": words.LIGHT_CLAUSES,
        "relation": RELATION_WORDS,
    }
    return {
        text.removeprefix("a ").removeprefix("the ") for text in tables[kind][value]
    }


def mentions(text: str, wording: set[str]) -> bool:
    return any(f" {words} " in f" {text.replace(',', ' ,')} " for words in wording)


def test_captions_say_what_they_state_and_nothing_else():
    rng = np.random.default_rng(0)
    for stretch in STRETCHES:
        caption = captions.caption(stretch, rng)
        known = captions.facts(stretch)
        assert caption.stated <= set(known)
        assert caption.text.isascii() and caption.text == caption.text.lower()
        assert "  " not in caption.text and "{" not in caption.text
        kinds = {key.split(".")[0] for key in caption.stated}
        for key in caption.stated:
            kind = key.split(".")[0]
            assert mentions(caption.text, wordings(kind, known[key])), (key, caption)
        for kind, values in {
            "background": world.BACKGROUNDS,
            "camera": world.CAMERAS,
            "light": world.LIGHTS,
            "size": world.DIAMETERS,
        }.items():
            said = {known[key] for key in caption.stated if key.startswith(kind)}
            for value in set(values) - said:
                assert not mentions(caption.text, wordings(kind, value)), caption
        if "motion" not in kinds:
            assert not any(
                mentions(caption.text, inflected(motion))
                for motion in words.MOTION_PHRASES
            )


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

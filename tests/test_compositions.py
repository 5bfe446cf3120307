"""Compositions are judged by which true clip a video is nearest to."""

import numpy as np
import pytest

from sora_jax import cli
from sora_jax.data import backgrounds
from sora_jax.data.video import to_float
from sora_jax.evals.compositions.cases import (
    AMONG_FIVE,
    CLOSURE,
    GENDER,
    MOTION,
    NEAREST,
    RANK,
    ROLE,
    TONE,
    describe,
    nearest_seen,
    observe,
    score,
)
from sora_jax.evals.compositions.command import CompositionOptions
from sora_jax.evals.compositions.gallery import (
    SAMPLES,
    SIDE,
    Gallery,
    feature_of,
)

ROLES, GENDERS, TONES = ("cook", "pilot", "judge"), ("man", "woman"), ("light", "dark")


def draw_character(role, gender, tone):
    """A square that circles: its hat tells the role, its coat the gender."""
    clip = np.zeros((SAMPLES, SIDE, SIDE, 4), np.uint8)
    skin = {"light": (250, 220, 190), "dark": (90, 60, 40)}[tone]
    hat = {"cook": (250, 250, 250), "pilot": (20, 40, 120), "judge": (60, 0, 60)}[role]
    coat = {"man": (0, 90, 200), "woman": (200, 0, 90)}[gender]
    for time in range(SAMPLES):
        angle = 2 * np.pi * time / SAMPLES
        top, left = (round(10 + 4 * f(angle)) for f in (np.sin, np.cos))
        for row, colour in enumerate((hat, skin, coat)):
            part = clip[time, top + 4 * row : top + 4 * row + 4, left : left + 12]
            part[...] = (*colour, 255)
    return clip


@pytest.fixture(scope="module")
def gallery():
    """Every combination; the dark woman pilot was never seen."""
    truths = [
        {"role": role, "gender": gender, "tone": tone, "base": f"{gender} {role}"}
        for role in ROLES
        for gender in GENDERS
        for tone in TONES
    ]
    keys = ("role", "gender", "tone")
    pixels = np.stack([draw_character(*(t[key] for key in keys)) for t in truths])
    is_seen = [tuple(t[key] for key in keys) != UNSEEN for t in truths]
    return Gallery(truths, is_seen, pixels)


def test_prompts_may_be_phrased_as_no_training_clip_is():
    texts = ("a pilot", "a pilot nods")
    truth = {"base": "pilot", "held_out_phrasings": ("here nods a pilot", "other")}
    assert describe(texts, truth, "seen") == "a pilot nods"
    assert describe(texts, truth, "held_out") == "here nods a pilot"
    with pytest.raises(ValueError, match="--phrasing held_out needs"):
        describe(texts, {"base": "pilot"}, "held_out")
    argv = ["--data=clips", "--phrasing=held_out"]
    assert cli.parse(CompositionOptions, argv).phrasing == "held_out"


UNSEEN = ("pilot", "woman", "dark")


def own_of(gallery):
    return gallery.is_seen.index(False)


def video_of(gallery, number, background, shift=0):
    shown = to_float(backgrounds.over(gallery.pixels[number], background))
    return np.roll(shown, shift, axis=0)


def judged(gallery, video, background="sunset"):
    found = score(
        observe(video),
        gallery=gallery,
        own=own_of(gallery),
        background=background,
        energy=observe(video_of(gallery, own_of(gallery), background)).energy,
    )
    return {item.measure: item for item in found}


@pytest.mark.parametrize("background", ["white", "night", "sunset"])
@pytest.mark.parametrize("shift", [0, 7])
def test_a_true_clip_is_its_own_nearest_wherever_its_loop_begins(
    gallery, background, shift
):
    video = video_of(gallery, own_of(gallery), background, shift)
    distances = gallery.distances(feature_of(video), background)
    assert distances[own_of(gallery)] == pytest.approx(0, abs=1e-6)
    found = judged(gallery, video, background)
    for measure in (NEAREST, AMONG_FIVE, TONE):
        assert found[measure].is_right
    assert found[RANK].value == 1
    assert found[MOTION].value == pytest.approx(1, rel=0.05)
    assert found[CLOSURE].value < 2


def test_another_background_than_the_prompts_counts_against_a_video(gallery):
    own = own_of(gallery)
    right = gallery.distances(feature_of(video_of(gallery, own, "night")), "night")
    wrong = gallery.distances(feature_of(video_of(gallery, own, "white")), "night")
    assert wrong[own] > right[own] + 0.1


def test_a_memorizer_shows_a_wrong_tone(gallery):
    own = own_of(gallery)
    copy = nearest_seen(gallery, own, "sunset")
    assert gallery.is_seen[copy]
    found = judged(gallery, video_of(gallery, copy, "sunset"))
    assert not found[NEAREST].is_right
    assert found[RANK].value == 2
    assert found[ROLE].is_right or found[GENDER].is_right


def test_each_trait_is_told_from_the_others(gallery):
    for trait, position, other in ((ROLE, 0, "cook"), (TONE, 2, "light")):
        wanted = list(UNSEEN)
        wanted[position] = other
        number = next(
            i
            for i, truth in enumerate(gallery.truths)
            if [truth[key] for key in ("role", "gender", "tone")] == wanted
        )
        found = judged(gallery, video_of(gallery, number, "sunset"))
        assert not found[trait].is_right
        assert found[trait].seen == other


def test_a_still_video_has_no_motion(gallery):
    video = video_of(gallery, own_of(gallery), "white")
    still = np.repeat(video[:1], SAMPLES, axis=0)
    assert judged(gallery, still, "white")[MOTION].value == pytest.approx(0, abs=1e-5)

"""The judge must not be fooled by wrong videos, and must say what is wrong."""

from __future__ import annotations

import dataclasses

import numpy as np

from sora_jax.worlds.playground import render, world
from sora_jax.worlds.playground.judge.observation import observe
from tests.helpers.judged import (
    CLIPS,
    SHORT,
    SINGLE,
    changed,
    clip_of,
    first_single,
    full_single,
    judged,
    observed,
    sample,
    wrong_facts,
)


def test_only_what_is_wrong_is_called_wrong():
    clip = full_single()
    body = clip.scene.stretches[0].bodies[0]
    colour = next(name for name in world.COLOURS if name != body.colour)
    shape = "ball" if body.shape != "ball" else "ring"
    scale = 1.5 if body.size == "small" else 0.65
    assert wrong_facts(clip.clip.pixels, clip) == set()
    assert wrong_facts(changed(clip, colour=colour), clip) == {"colour"}
    assert wrong_facts(changed(clip, shape=shape), clip) == {"shape"}
    assert wrong_facts(changed(clip, radius=body.radius * scale), clip) == {"size"}
    floor = body.centre[:, 1].max()
    for share in (0.7, 1.4):  # of the height, and so of the acceleration
        centre = body.centre.copy()
        centre[:, 1] = floor + share * (centre[:, 1] - floor)
        assert wrong_facts(changed(clip, centre=centre), clip) == {"gravity"}


def test_things_that_are_missing_or_too_many_are_counted():
    clip = full_single()
    stretch = clip.scene.stretches[0]
    other = dataclasses.replace(
        first_single(motion="still", camera="still").scene.stretches[0].bodies[0],
        colour="cyan" if stretch.bodies[0].colour != "cyan" else "red",
        centre=stretch.bodies[0].centre * [0.0, 0.0] + [0.12, 0.15],
        radius=stretch.bodies[0].radius * 0.0 + 0.1,
    )
    for bodies, count in (((), 0), ((*stretch.bodies, other), 2)):
        changed_stretch = dataclasses.replace(stretch, bodies=bodies)
        scene = dataclasses.replace(clip.scene, stretches=(changed_stretch,))
        pixels = render.render(scene)
        assert len(observe(pixels, SINGLE.fps)[0].objects) == count
        assert "count" in wrong_facts(pixels, clip)


def test_passing_through_is_no_collision():
    clip = clip_of("collide")
    assert wrong_facts(clip.clip.pixels, clip) == set()
    stretch = clip.scene.stretches[0]
    steps = np.arange(clip.scene.frames)[:, None]
    bodies = (
        dataclasses.replace(
            body, centre=body.centre[0] + steps * (body.centre[1] - body.centre[0])
        )
        for body in stretch.bodies
    )
    stretch = dataclasses.replace(stretch, bodies=tuple(bodies))
    pixels = render.render(dataclasses.replace(clip.scene, stretches=(stretch,)))
    assert "relation" in wrong_facts(pixels, clip)


def test_in_front_of_a_wall_is_not_behind_it():
    clip = clip_of("behind")
    assert wrong_facts(clip.clip.pixels, clip) == set()

    def painted(**changes) -> np.ndarray:
        stretch = dataclasses.replace(clip.scene.stretches[0], **changes)
        return render.render(dataclasses.replace(clip.scene, stretches=(stretch,)))

    alone = painted(wall=None)
    is_body = (alone != painted(wall=None, bodies=())).any(axis=-1, keepdims=True)
    pixels = np.where(is_body, alone, painted(bodies=()))
    assert wrong_facts(pixels, clip) == {"relation"}


def test_a_thing_that_vanishes_half_way_is_missing():
    clip = full_single()
    stretch = dataclasses.replace(clip.scene.stretches[0], bodies=())
    empty = render.render(dataclasses.replace(clip.scene, stretches=(stretch,)))
    pair = clip_of("two")
    both = pair.clip.pixels.copy()
    first = pair.scene.stretches[0]
    alone = dataclasses.replace(first, bodies=first.bodies[:1])
    both[6:] = render.render(dataclasses.replace(pair.scene, stretches=(alone,)))[6:]
    assert "count" in wrong_facts(both, pair)
    assert "count" in wrong_facts(empty, clip)


def test_a_missing_cut_and_one_too_many_are_noticed():
    cut = next(i for i in range(CLIPS) if len(sample(i).scene.stretches) == 2)
    start, stop = ((part.start, part.stop) for part in sample(cut).scene.stretches)
    assert [(part.start, part.stop) for part in observed(cut)] == [start, stop]
    pixels = sample(cut).clip.pixels
    frozen = np.concatenate([pixels[: start[1]], pixels[[start[1] - 1] * 8]])
    findings = judged(observe(frozen, SHORT.fps), sample(cut))
    assert not next(v for v in findings if v.measure == "scenes").is_right


def test_noise_is_nothing_that_was_asked_for():
    rng = np.random.default_rng(0)
    for pixels in (
        rng.uniform(-1.0, 1.0, (9, 64, 64, 3)),
        np.full((9, 64, 64, 3), np.nan),
        np.full((1, 64, 64, 3), -1.0),
    ):
        observations = observe(pixels.astype(np.float32), 8.0)
        findings = judged(observations, sample(0))
        right = {found.measure for found in findings if found.is_right}
        assert not right & {"shape", "motion", "size"}


def test_a_grey_patch_that_moves_is_no_wall():
    clip = full_single()
    pixels = clip.clip.pixels.copy()
    grey = np.array(world.WALL_COLOUR, np.float32) * 2 - 1
    for number, frame in enumerate(pixels):
        left = 3 * number % 48
        frame[20:44, left : left + 16] = grey
    assert not any(item.relations for item in observe(pixels, SINGLE.fps))

"""The judge must be right on true videos, and must not be fooled by wrong ones."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
from scipy import ndimage

from sora_jax.config import PlaygroundConfig
from sora_jax.evals import judge, read
from sora_jax.worlds.playground import render, world
from sora_jax.worlds.playground.source import Playground, Sample

CLIPS = 56
SHORT = dataclasses.replace(
    PlaygroundConfig(split="test"),
    frames=((1, 0.1), (9, 0.5), (17, 0.4)),
)
# One object on a floor; many clips to choose from.
SINGLE = dataclasses.replace(
    SHORT, frames=((17, 1.0),), sizes=(((64, 64), 1.0),), kinds=(("one", 1.0),)
)


@functools.cache
def sample(index: int) -> Sample:
    return Playground(SHORT)[index]


@functools.cache
def reading(index: int) -> tuple[read.Reading, ...]:
    return read.read(sample(index).clip.pixels, SHORT.fps)


def shares(verdicts: list[judge.Verdict]) -> dict[str, float]:
    return {
        fact: float(np.mean([v.is_right for v in verdicts if v.fact == fact]))
        for fact in {verdict.fact for verdict in verdicts}
    }


def judged(readings, of: Sample) -> list[judge.Verdict]:
    return judge.judge(readings, of.captions, of.scene.stretches)


def first_single(**wanted: str) -> Sample:
    """Return the first clip whose stretch and body have some attributes."""
    source = Playground(SINGLE)
    for index in range(2000):
        stretch = source.scene(index).stretches[0]
        known = {**vars(stretch.bodies[0]), **vars(stretch)}
        if all(known[name] == value for name, value in wanted.items()):
            return source[index]
    raise AssertionError(f"no clip has {wanted}")


def seen(pixels: np.ndarray) -> read.Reading:
    readings = read.read(np.ascontiguousarray(pixels), SINGLE.fps)
    assert len(readings) == 1
    return readings[0]


def degraded(pixels: np.ndarray, seed: int) -> np.ndarray:
    """Blur, add noise and round to bytes, as a stand-in for a VAE."""
    rng = np.random.default_rng(seed)
    soft = ndimage.gaussian_filter(pixels, (0.0, 1.0, 1.0, 0.0))
    noisy = soft + rng.normal(0.0, 0.04, pixels.shape)
    return (np.clip(np.round((noisy + 1) * 127.5), 0, 255) / 127.5 - 1).astype("f4")


def test_true_videos_are_read_right_in_every_fact():
    verdicts = [v for i in range(CLIPS) for v in judged(reading(i), sample(i))]
    assert {verdict.fact for verdict in verdicts} == set(judge.FACTS)
    wrong = [verdict for verdict in verdicts if not verdict.is_right]
    assert len(wrong) <= 0.01 * len(verdicts), wrong
    assert min(shares(verdicts).values()) >= 0.95, wrong


def test_blurred_and_noisy_videos_are_read_right():
    verdicts = []
    for index in range(0, CLIPS, 3):
        pixels = degraded(sample(index).clip.pixels, index)
        verdicts += judged(read.read(pixels, SHORT.fps), sample(index))
    wrong = [verdict for verdict in verdicts if not verdict.is_right]
    assert len(wrong) <= 0.05 * len(verdicts), wrong


def test_another_ones_caption_is_right_by_chance_only():
    verdicts = [
        verdict
        for i in range(CLIPS)
        for verdict in judged(reading((i + 1) % CLIPS), sample(i))
    ]
    found = shares(verdicts)
    # What chance is: 7 backgrounds, 8 colours, 6 shapes, 14 motions.
    for fact in ("background", "colour", "shape", "motion", "gravity"):
        assert found[fact] < 0.4, (fact, found[fact])
    assert found["count"] < 0.8 and found["camera"] < 0.8 and found["light"] < 0.8


def test_a_video_through_a_mirror_moves_the_other_way():
    clip = first_single(motion="right", camera="still").clip
    assert seen(clip.pixels).things[0].motion == "right"
    assert seen(clip.pixels[:, :, ::-1]).things[0].motion == "left"


def test_time_reversed_everything_goes_back():
    opposites = {
        "right": "left",
        "down": "up",
        "grow": "shrink",
        "up left": "down right",
    }
    for motion, opposite in opposites.items():
        clip = first_single(motion=motion, camera="still").clip
        assert seen(clip.pixels).things[0].motion == motion
        assert seen(clip.pixels[::-1]).things[0].motion == opposite
    for motion in ("circle", "spin"):
        clip = first_single(motion=motion, camera="still").clip
        assert seen(clip.pixels).things[0].motion == motion
        assert "counterclockwise" in seen(clip.pixels[::-1]).things[0].motion


@pytest.mark.parametrize("motion", ["right", "bounce", "circle", "spin", "grow"])
def test_a_frozen_frame_does_not_move(motion):
    pixels = first_single(motion=motion, camera="still").clip.pixels
    frozen = np.broadcast_to(pixels[:1], pixels.shape)
    assert seen(frozen).things[0].motion == "still"


def test_cameras_and_lights_turn_round_with_time():
    for name, value, opposite in (
        ("camera", "pan left", "pan right"),
        ("camera", "zoom in", "zoom out"),
        ("light", "dusk", "dawn"),
    ):
        pixels = first_single(**{name: value}).clip.pixels
        assert getattr(seen(pixels), name) == value
        assert getattr(seen(pixels[::-1]), name) == opposite
        frozen = np.broadcast_to(pixels[:1], pixels.shape)
        assert getattr(seen(frozen), name) in ("still", "steady")


def changed(clip: Sample, **changes) -> np.ndarray:
    """Paint a clip again, with something else about its only body."""
    stretch = clip.scene.stretches[0]
    body = dataclasses.replace(stretch.bodies[0], **changes)
    stretch = dataclasses.replace(stretch, bodies=(body,))
    return render.render(dataclasses.replace(clip.scene, stretches=(stretch,)))


def wrong_facts(pixels: np.ndarray, clip: Sample) -> set[str]:
    verdicts = judged(read.read(pixels, SINGLE.fps), clip)
    return {verdict.fact for verdict in verdicts if not verdict.is_right}


def full_single() -> Sample:
    """Return a clip whose caption states all of its facts."""
    source = Playground(SINGLE)
    for index in range(500):
        part = source.captions(index)[0][0]
        body = source.scene(index).stretches[0].bodies[0]
        if len(part.stated) == 7 - (not body.size) and body.motion == "bounce":
            return source[index]
    raise AssertionError("no caption is full")


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
        assert len(read.read(pixels, SINGLE.fps)[0].things) == count
        assert "count" in wrong_facts(pixels, clip)


def clip_of(kind: str) -> Sample:
    """Return the first clip of a kind whose caption states a relation."""
    source = Playground(dataclasses.replace(SINGLE, kinds=((kind, 1.0),)))
    return next(
        source[index]
        for index in range(100)
        if "relation" in source.captions(index)[0][0].stated
    )


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
    assert [(part.start, part.stop) for part in reading(cut)] == [start, stop]
    pixels = sample(cut).clip.pixels
    frozen = np.concatenate([pixels[: start[1]], pixels[[start[1] - 1] * 8]])
    verdicts = judged(read.read(frozen, SHORT.fps), sample(cut))
    assert not next(v for v in verdicts if v.fact == "scenes").is_right


def test_noise_is_nothing_that_was_asked_for():
    rng = np.random.default_rng(0)
    for pixels in (
        rng.uniform(-1.0, 1.0, (9, 64, 64, 3)),
        np.full((9, 64, 64, 3), np.nan),
        np.full((1, 64, 64, 3), -1.0),
    ):
        readings = read.read(pixels.astype(np.float32), 8.0)
        verdicts = judged(readings, sample(0))
        right = {verdict.fact for verdict in verdicts if verdict.is_right}
        assert not right & {"shape", "motion", "size"}


def test_a_grey_patch_that_moves_is_no_wall():
    clip = full_single()
    pixels = clip.clip.pixels.copy()
    grey = np.array(world.WALL_COLOUR, np.float32) * 2 - 1
    for number, frame in enumerate(pixels):
        left = 3 * number % 48
        frame[20:44, left : left + 16] = grey
    assert not any(item.relations for item in read.read(pixels, SINGLE.fps))

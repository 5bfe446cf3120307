"""What must hold of every clip of the playground, its truth and its captions."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import pickle

import numpy as np
import pytest

from sora_jax import config
from sora_jax.worlds.playground import chance, looks, render, words, world
from sora_jax.worlds.playground.judge import facts
from sora_jax.worlds.playground.judge.observation import observe
from sora_jax.worlds.playground.source import Playground

CONFIG = config.PlaygroundConfig()
SOURCE = Playground(CONFIG)
SCENES = [SOURCE.scene(index) for index in range(400)]
STRETCHES = [stretch for scene in SCENES for stretch in scene.stretches]
BODIES = [(stretch, body) for stretch in STRETCHES for body in stretch.bodies]


def source(**changes) -> Playground:
    return Playground(dataclasses.replace(CONFIG, **changes))


def inside(shape: str) -> np.ndarray:
    axis = np.linspace(-1.25, 1.25, 101)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    return points[world.SHAPES[shape].distance(*points.T) < 0]


OUTLINES = {shape: inside(shape) for shape in world.SHAPES}


def image_box(scene, stretch, body) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest and the largest (x, y) of a body in pixels, by frame."""
    corners = []
    for frame in range(len(body.angle)):
        sine, cosine = np.sin(body.angle[frame]), np.cos(body.angle[frame])
        turned = OUTLINES[body.shape] @ np.array([[cosine, sine], [-sine, cosine]])
        corners.append([turned.min(axis=0), turned.max(axis=0)])
    low, high = np.moveaxis(np.array(corners) * body.radius[:, None, None], 1, 0)
    return tuple(
        world.to_pixels(body.centre + edge, stretch, scene.height, scene.width)
        for edge in (low, high)
    )


def same(first: object, second: object) -> bool:
    return pickle.dumps(first) == pickle.dumps(second)


def test_an_index_is_the_same_sample_whenever_and_wherever_it_is_asked_for():
    copy = pickle.loads(pickle.dumps(SOURCE))
    for index in (7, 3, 11, 3):
        first, second = SOURCE[index], copy[index]
        np.testing.assert_array_equal(first.clip.pixels, second.clip.pixels)
        assert first.captions == second.captions
        assert same(first.scene, second.scene)
    assert SOURCE[3].clip.caption != SOURCE[4].clip.caption
    assert same(SOURCE.scene(-1), SOURCE.scene(len(SOURCE) - 1))
    with pytest.raises(IndexError):
        SOURCE.scene(len(SOURCE))


def test_luck_is_the_same_on_every_machine():
    drawn = chance.generator(0, 1, 2).random(2)
    np.testing.assert_array_equal(drawn, [0.790174605053907, 0.9179574015747577])


def test_every_pair_of_attributes_is_learned_and_an_eighth_of_triples_held_out():
    colours = collections.defaultdict(set)
    pairs = collections.defaultdict(set)
    triples = list(itertools.product(world.COLOURS, world.SHAPES, world.MOTIONS))
    for triple in triples:
        is_held_out = looks.is_held_out(*triple)
        colours[is_held_out].add(triple)
        for pair in itertools.combinations(range(3), 2):
            pairs[is_held_out].add((pair, *(triple[axis] for axis in pair)))
    assert len(colours[True]) / len(triples) == 1 / 8
    assert pairs[True] <= pairs[False]
    assert len(pairs[False]) == 8 * 6 + 8 * 15 + 6 * 15


def test_splits_share_no_combination_of_colour_shape_and_motion():
    assert not any(
        looks.is_held_out(body.colour, body.shape, body.motion) for _, body in BODIES
    )
    test = source(split="test")
    for index in range(150):
        for stretch in test.scene(index).stretches:
            first = stretch.bodies[0]
            assert looks.is_held_out(first.colour, first.shape, first.motion)
    assert not looks.is_held_out("red", "ball", "bounce")  # the README's prompt


def test_everything_there_is_occurs():
    assert {stretch.background for stretch in STRETCHES} == set(world.BACKGROUNDS)
    assert {stretch.camera for stretch in STRETCHES} == set(world.CAMERAS)
    assert {stretch.light for stretch in STRETCHES} == set(world.LIGHTS)
    assert {body.motion for _, body in BODIES} == set(world.MOTIONS)
    assert {body.shape for _, body in BODIES} == set(world.SHAPES)
    assert {stretch.relation for stretch in STRETCHES} == {
        relation for relation, _ in words.SUBJECTS
    }
    assert any(len(scene.stretches) == 2 for scene in SCENES)


def test_cuts_fall_between_latent_frames():
    for scene in SCENES:
        spans = [(stretch.start, stretch.stop) for stretch in scene.stretches]
        assert spans[0][0] == 0 and spans[-1][1] == scene.frames
        for (_, stop), (start, _) in itertools.pairwise(spans):
            assert start == stop and start % 4 == 1


@pytest.mark.parametrize("factor", [1, 3, 8])
def test_cuts_follow_the_time_factor_of_the_vae(factor):
    frames = 1 + 24
    clips = source(
        time_factor=factor, frames=((frames, 1.0),), kinds=(("cut", 0.5), ("turn", 0.5))
    )
    cuts = {clips.scene(index).stretches[-1].start for index in range(60)}
    assert len(cuts) > 1
    assert all((cut - 1) % factor == 0 and 8 <= cut <= frames - 8 for cut in cuts)
    with pytest.raises(ValueError, match=r"data.frames must be 1 \+ 5k.* got .25, 8"):
        source(time_factor=5, frames=((25, 0.5), (8, 0.5)))


def test_everything_stays_in_sight_and_nothing_is_under_ten_pixels():
    for scene in SCENES[:200]:
        for stretch in scene.stretches:
            for body in stretch.bodies:
                low, high = image_box(scene, stretch, body)
                assert low.min() >= 0, (stretch.camera, body)
                assert (high <= [scene.width, scene.height]).all(), (stretch, body)
                assert (high - low).min() >= 10


def test_what_moves_moves_clearly_and_straight():
    for _, body in BODIES:
        direction = np.array(world.MOTIONS[body.motion].direction)
        if direction.any():
            way = body.centre[-1] - body.centre[0]
            np.testing.assert_array_equal(np.sign(np.round(way, 6)), direction)
            assert np.abs(way[direction != 0]).min() > 0.12  # units: 8 of 64 pixels
            steps = np.diff(body.centre, axis=0)
            np.testing.assert_allclose(steps - steps[0], 0, atol=1e-9)
        if body.motion == "still":
            assert np.ptp(body.centre, axis=0).max() == 0
        if body.motion == "spin":
            assert not world.SHAPES[body.shape].is_round
            assert 0 < np.diff(body.angle).max() < np.pi / 4


def test_what_bounces_falls_with_the_one_gravity():
    bounced = [(stretch, body) for stretch, body in BODIES if body.motion == "bounce"]
    for stretch, body in bounced:
        height = -body.centre[:, 1]
        pull = np.diff(height, 2) * CONFIG.fps**2
        in_flight = pull < 0
        np.testing.assert_allclose(np.median(pull[in_flight]), -world.GRAVITY)
        assert stretch.background in world.FLOORS
        assert pull.max() > 0  # it touches the floor and turns


def test_a_bounce_keeps_to_the_floor_line():
    for scene in SCENES:
        for stretch in scene.stretches:
            for body in stretch.bodies:
                if body.motion == "bounce":
                    foot = world.SHAPES[body.shape].foot * body.radius
                    lowest = (body.centre[:, 1] + foot).max()
                    floor = world.FLOOR_LINE * scene.view[1]
                    assert floor - 0.12 < lowest <= floor + 1e-9


def test_collisions_keep_momentum_and_energy_and_do_not_overlap():
    collisions = [item for item in STRETCHES if item.relation == "collide"]
    assert collisions
    for stretch in collisions:
        left, right = stretch.bodies
        assert left.size == right.size
        speeds = np.diff([body.centre[:, 0] for body in stretch.bodies], axis=1)
        momentum, energy = speeds.sum(axis=0), (speeds**2).sum(axis=0)
        np.testing.assert_allclose(momentum, momentum[0], atol=1e-9)
        np.testing.assert_allclose(energy[-1], energy[0])
        sides = sum(
            world.SHAPES[body.shape].side * body.radius[0] for body in stretch.bodies
        )
        assert (right.centre[:, 0] - left.centre[:, 0]).min() >= sides - 1e-9


def test_a_wall_hides_what_passes_behind_it():
    hidden = [item for item in STRETCHES if item.relation == "behind"]
    assert hidden
    for stretch in hidden:
        visible = stretch.bodies[0].visible
        assert visible[0] == visible[-1] == 1.0
        assert visible.min() < 0.3


def test_relations_hold_in_every_frame():
    for stretch in STRETCHES:
        if stretch.relation in ("left of", "above"):
            axis = int(stretch.relation == "above")
            first, second = (body.centre[:, axis] for body in stretch.bodies)
            assert (second - first).min() > 0.15


def test_a_clip_is_the_same_at_any_resolution():
    small = source(sizes=(((64, 64), 1.0),), frames=((9, 1.0),))
    for index in range(12):
        coarse, fine = (
            render.render(small.scene(index, (side, side))) for side in (64, 128)
        )
        halved = fine.reshape(9, 64, 2, 64, 2, 3).mean(axis=(2, 4))
        assert np.abs(halved - coarse).mean() < 0.006
        assert np.abs(halved - coarse).max() < 0.5  # where an outline has a corner


def test_pixels_show_the_truth():
    plain = source(frames=((9, 1.0),), kinds=(("one", 1.0),))
    for index in range(20):
        sample = plain[index]
        (stretch,), pixels = sample.scene.stretches, sample.clip.pixels
        assert pixels.dtype == np.float32 and np.abs(pixels).max() <= 1.0
        body = stretch.bodies[0]
        gain = render.light_gain(stretch.brightness)[:, None, None]
        colour = (pixels + 1) / 2 / gain
        near = np.abs(colour - world.COLOURS[body.colour]).max(axis=-1) < 0.02
        rows, columns = np.nonzero(near[-1])
        found = np.array([columns.mean(), rows.mean()]) + 0.5
        points = world.to_pixels(body.centre, stretch, *pixels.shape[1:3])
        assert np.abs(found - points[-1]).max() < 1.5


def test_colours_tell_apart_by_day_and_by_night():
    colours = np.array(list(world.COLOURS.values()))
    behind = [item.tones for item in world.BACKGROUNDS.values()]
    behind = [tone for tones in behind for tone in tones]
    behind += [item.floor for item in world.BACKGROUNDS.values() if item.floor]
    for brightness in (1.0, world.DUSK_BRIGHTNESS):
        gain = render.light_gain(np.array([brightness]))
        lit, lit_behind = colours * gain, np.array(behind) * gain
        apart = np.linalg.norm(lit[:, None] - lit, axis=-1) + np.eye(len(lit))
        assert apart.min() > 0.17
        apart = np.linalg.norm(lit[:, None] - lit_behind, axis=-1)
        assert apart.min() > 0.17


@pytest.mark.parametrize("split", ["train", "test"])
def test_what_turns_is_one_body_without_a_cut(split):
    turning = source(split=split, frames=((17, 1.0),), kinds=(("turn", 1.0),))
    for index in range(60):
        sample = turning[index]
        before, after = sample.scene.stretches
        assert after.goes_on and not before.goes_on and after.start == before.stop
        one, other = before.bodies[0], after.bodies[0]
        assert (one.colour, one.shape, one.size) == (
            other.colour,
            other.shape,
            other.size,
        )
        assert one.motion != other.motion
        steps = np.diff(np.concatenate([one.centre, other.centre]), axis=0)
        # No step is longer than the longest that either of them takes by itself.
        alone = [np.diff(body.centre, axis=0) for body in (one, other)]
        longest = max(np.abs(part).max() for part in alone)
        assert np.abs(steps).max() <= longest + 1e-9
        for body, moved in zip((one, other), alone, strict=True):
            direction = np.array(world.MOTIONS[body.motion].direction)
            np.testing.assert_allclose(moved, direction * np.abs(moved), atol=1e-9)
            assert (np.abs(moved).sum() > 0.1) == (body.motion != "still")
        held = [looks.is_held_out(b.colour, b.shape, b.motion) for b in (one, other)]
        assert any(held) == (split == "test")
        assert any(
            text.split("{0}")[1][:8] in sample.clip.caption for text in words.TURNS
        )


def test_a_judge_sees_both_motions_of_what_turns():
    turning = source(
        frames=((33, 1.0),), sizes=(((64, 64), 1.0),), kinds=(("turn", 1.0),)
    )
    for index in range(10):
        sample = turning[index]
        assert len(observe(sample.clip.pixels, 8.0)) == 1  # there is no cut
        for part, stretch in zip(sample.captions, sample.scene.stretches, strict=True):
            shown = observe(sample.clip.pixels[stretch.start : stretch.stop], 8.0)
            verdicts = facts.judge_facts(shown, (part,), (stretch,))
            assert all(verdict.is_right for verdict in verdicts), (index, verdicts)

"""With an oracle as transformer, clips are extended exactly, in time and in a loop.

So joins, coordinates, windows, masks and solvers are exact before any model is good.
"""

import jaxtyping
import numpy as np
import pytest

from sora_jax.sampling.tasks import Loop
from tests.helpers.oracle import window
from tests.helpers.worlds import PROMPT, assert_made, frames_mask


def test_extend_forward_through_windows(world):
    canvas = world.clip[4:]  # five frames are known of it
    latents = world.latents(canvas)
    windows = [window(latents[i : i + 3], start=min(i, 1)) for i in range(5)]
    made = world.model(*windows).extend(world.clip[:9], PROMPT, frames=20)
    np.testing.assert_array_equal(made[:9], world.clip[:9])
    assert_made(made[9:], world.seen(canvas)[5:])


def test_extend_by_any_number_of_frames(world):
    canvas = np.concatenate([world.clip[4:9], world.clip[9:13]])
    made = world.model(window(world.latents(canvas))).extend(
        world.clip[:9], PROMPT, frames=3
    )
    assert made.shape[0] == 12
    assert_made(made[9:], world.seen(canvas)[5:8])


def test_a_direction_is_one_of_three(world, monkeypatch):
    # Those who call the package run it without these tests' checks of types.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    model = world.model(window(world.latents(world.clip[:9])))
    with pytest.raises(ValueError, match="direction must be one of forward, .*'left'"):
        model.extend(world.clip[:9], PROMPT, frames=4, direction="left")


def test_extend_backward_in_pieces(world):
    clip = world.clip
    # Nine frames at once, of which four are known: five are made, then more before.
    near = clip[4:13]
    first = world.given(near, frames_mask(9, [5, 6, 7, 8]))
    made_first = world.seen(near)[:5]
    far = np.concatenate([clip[:5], made_first[:4]])
    second = world.given(far, frames_mask(9, [5, 6, 7, 8]))
    made = world.model(first, second).extend(
        clip[9:], PROMPT, frames=7, direction="backward"
    )
    np.testing.assert_array_equal(made[7:], clip[9:])
    assert_made(made[2:7], made_first)
    # Of the five frames that come whole latents, the two next to them are wanted.
    assert_made(made[:2], world.seen(far)[3:5])
    assert made.shape[0] == 7 + len(clip) - 9


KNOWN = [0, 1, 2, 3, 4, 9, 10, 11, 12]


def test_connect_and_loop(world):
    clip = world.clip[:13]
    model = world.model(world.given(clip, frames_mask(13, KNOWN)))
    made = model.connect(clip[:5], clip[9:], PROMPT, frames=4, window=13)
    np.testing.assert_array_equal(made[KNOWN], clip[KNOWN])
    assert_made(made[5:9], world.seen(clip)[5:9])
    ring = np.concatenate([clip[8:], clip[5:9], clip[:4]])
    model = world.model(world.given(ring, frames_mask(13, KNOWN)))
    whole = np.concatenate([clip[:4], clip[8:]])
    made = model.loop(whole, PROMPT, frames=4, window=13)
    np.testing.assert_array_equal(made[:9], whole)
    assert_made(made[9:], world.seen(ring)[5:9])


def test_a_loop_from_a_prompt_closes(world):
    clip = world.clip[:5]
    opening = world.seen(clip)
    ring = np.concatenate([opening, world.clip[5:9], opening[:4]])
    channels = world.given(ring, frames_mask(13, KNOWN))
    # Windows of one size for the oracle: the opening as the first of thirteen frames.
    model = world.model(channels)
    made = model.loop(opening, PROMPT, frames=4, window=13)
    assert_made(made[5:], world.seen(ring)[5:9])
    (follow_up,) = Loop(frames=9).segments(model.context({"window": 13}))
    assert follow_up.sampled.stop == 5
    shown, sampled = follow_up.segments(opening)
    np.testing.assert_array_equal(shown, opening)
    assert (sampled.start, sampled.stop) == (5, 9)
    with pytest.raises(ValueError, match="frames of a loop must be >= 2"):
        model.loop(prompt=PROMPT, frames=1)


def test_insert_and_remove(world):
    clip = world.clip[:13]
    model = world.model(world.given(clip, frames_mask(13, KNOWN)))
    shown = np.concatenate([clip[:5], clip[9:]])
    # Two spans that touch are one.
    spans = [(5 / 8, 7 / 8), (7 / 8, 9 / 8)]
    made = model.insert(shown, PROMPT, span=spans, window=13)
    np.testing.assert_array_equal(made[KNOWN], clip[KNOWN])
    assert_made(made[5:9], world.seen(clip)[5:9])
    longer = np.concatenate([clip[:5], np.zeros_like(clip[:6]), clip[9:]])
    made = model.remove(longer, PROMPT, span=[(5 / 8, 11 / 8)], frames=4, window=13)
    np.testing.assert_array_equal(made[KNOWN], clip[KNOWN])
    assert_made(made[5:9], world.seen(clip)[5:9])


def test_scenes_at_the_ends_are_extensions(world):
    clip = world.clip[:9]
    model = world.model(window(world.latents(clip)))
    made = model.insert(clip[:5], PROMPT, span=[(5 / 8, 9 / 8)])
    assert_made(made[5:], world.seen(clip)[5:])
    model = world.model(world.given(clip, frames_mask(9, [5, 6, 7, 8])))
    made = model.insert(clip[5:], PROMPT, span=[(0, 5 / 8)])
    assert_made(made[:5], world.seen(clip)[:5])

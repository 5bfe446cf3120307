"""With an oracle in place of the transformer, every task gives back the true clip.

So joins, coordinates, windows, masks and solvers are exact before any model is good.
"""

import dataclasses

import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from sora_jax.data.video import fit, to_uint8
from sora_jax.diffusion import conditioning
from sora_jax.sampling import codec
from sora_jax.sampling.segments import with_prompts
from sora_jax.sampling.tasks import Keyframe, Loop, Stretch, Upscale
from tests.helpers.oracle import window
from tests.helpers.worlds import FRAMES, PROMPT, assert_made, frames_mask


def test_generate(world):
    model = world.model(window(world.latents(world.clip[:9])))
    assert_made(model.generate(PROMPT)[0], world.seen(world.clip[:9]))


def test_a_long_video_is_exact_at_every_window_edge(world):
    latents = world.latents(world.clip)
    # Windows of three latents, of which two are those of the window before.
    windows = [window(latents[i : i + 3], start=min(i, 1)) for i in range(6)]
    made = world.model(*windows).generate(PROMPT, frames=FRAMES)[0]
    assert_made(made, world.seen(world.clip))


def test_a_minute_is_exact(world):
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(121, 4, 4, 4)).astype(np.float32)
    windows = [window(latents[i : i + 9], start=min(i, 1)) for i in range(113)]
    model = world.model(*windows)
    made = model.generate(PROMPT, frames=481, window=33, context=9, steps=1)[0]
    wanted = np.concatenate(
        list(codec.decode(world.vae, jnp.asarray(latents)[None])), axis=1
    )[0]
    assert made.shape == (481, 32, 32, 3)
    assert_made(made, wanted)


def test_animate(world):
    clip = world.clip[:9]
    model = world.model(world.given(clip, frames_mask(9, [0, 8])))
    keys = [Keyframe(picture=clip[:1]), Keyframe(picture=clip[8:9], frame=-1)]
    made = model.animate(keys, PROMPT)
    np.testing.assert_array_equal(made[[0, 8]], clip[[0, 8]])
    assert_made(made[1:8], world.seen(clip)[1:8])


def test_a_weak_keyframe_is_known_at_first_alone(world):
    clip = world.clip[:9]
    both, one = (world.given(clip, frames_mask(9, at)) for at in ([0, 8], [0]))
    keys = [
        Keyframe(picture=clip[:1]),
        Keyframe(picture=clip[8:9], frame=8, strength=0.5),
    ]
    made = world.model(both, one).animate(keys, PROMPT)
    assert_made(made[1:], world.seen(clip)[1:])
    # It is needed in the first step, and the other alone in the second.
    for windows in ([both], [one]):
        assert np.isnan(world.model(*windows).animate(keys, PROMPT)[1:]).all()


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


def test_edit_goes_from_the_clip_to_a_new_one(world):
    clip = world.clip[:7]
    source = np.concatenate([clip, clip[-1:], clip[-1:]])
    other = world.latents(world.clip[12:21])
    model = world.model(window(other))
    unchanged = model.edit(clip, PROMPT, strength=0)
    np.testing.assert_allclose(unchanged, world.seen(source)[:7], atol=1e-5)
    fresh = model.edit(clip, PROMPT, strength=1.0, seed=5)
    np.testing.assert_array_equal(fresh, model.generate(PROMPT, seed=5)[0][:7])
    assert_made(
        model.edit(clip, PROMPT, strength=0.5), world.seen(world.clip[12:21])[:7]
    )


def test_inpaint_and_outpaint(world):
    clip = world.clip[:9]
    mask = conditioning.outside_box_mask(9, 32, 32, (8, 4, 24, 20))
    mask[4:, :8] = 0  # a mask may change in time
    made = world.model(world.given(clip, mask)).inpaint(clip, 1 - mask, PROMPT)
    np.testing.assert_array_equal(made[mask > 0], clip[mask > 0])
    assert_made(made[mask == 0], world.seen(clip)[mask == 0])
    inside = conditioning.inside_box_mask(9, 32, 32, (8, 8, 24, 24))
    made = world.model(world.given(clip, inside)).outpaint(
        clip[:, 8:24, 8:24], PROMPT, size=(32, 32)
    )
    np.testing.assert_array_equal(
        to_uint8(made[inside > 0]), to_uint8(clip[inside > 0])
    )
    assert_made(made[inside == 0], world.seen(clip)[inside == 0])


def test_a_long_clip_is_inpainted_through_windows(world):
    clip = world.clip[:17]
    mask = conditioning.outside_box_mask(17, 32, 32, (8, 4, 24, 20))
    first = world.given(clip[:9], mask[:9])
    made = [np.where(mask[:9, ..., None] > 0, clip[:9], world.seen(clip[:9]))]
    windows = [first]
    for start in (4, 8):
        span = slice(start, start + 9)
        here, known = clip[span].copy(), mask[span].copy()
        here[:5], known[:5] = made[-1][4:], 1
        windows.append(world.given(here, known))
        made.append(np.where(mask[span, ..., None] > 0, clip[span], world.seen(here)))
    got = world.model(*windows).inpaint(clip, 1 - mask, PROMPT)
    np.testing.assert_array_equal(got[mask > 0], clip[mask > 0])
    assert_made(got[:9], made[0])
    assert_made(got[9:13], made[1][5:])
    assert_made(got[13:], made[2][5:])


def test_a_model_of_clean_tokens_goes_on_through_pixels(world):
    clip = world.clip[:13]
    made = world.seen(clip[:9])
    after = np.concatenate([made[4:9], clip[9:13]])
    windows = [window(world.latents(c), features=0) for c in (clip[:9], after)]
    dit = dataclasses.replace(world.config.dit, extra_channels=0)
    model = world.model(*windows, dit=dit, conditioning="tokens", mid_clip=False)
    for got in model.generate([PROMPT, "a blue square"], frames=13):
        assert_made(got[:9], made)
        assert_made(got[9:], world.seen(after)[5:])


def test_upscale_refines_what_is_enlarged(world):
    clip = world.clip[:9]
    model = world.model(window(world.latents(clip)))
    made = model.upscale(clip[:, ::2, ::2], PROMPT, size=(32, 32), strength=0.5)
    assert_made(made, world.seen(clip))


def test_a_draft_is_made_and_then_refined(world):
    clip = world.clip[:9]
    large = np.repeat(np.repeat(clip, 2, axis=1), 2, axis=2)
    known = [window(world.latents(pixels)) for pixels in (clip, large)]
    small, fine = (world.model(one) for one in known)
    context = small.context({"frames": 9, "size": (64, 64)})
    segments = Upscale(strength=0.5).segments(context)
    (draft,) = with_prompts(segments, (PROMPT,), seed=0)
    # The draft is made at the model's own size, and its frames are what is refined.
    made = np.concatenate(list(small.sample([draft.sampled])), axis=1)[0]
    assert_made(made, world.seen(clip))
    (refined,) = draft.segments(made)
    np.testing.assert_array_equal(refined.request.source, fit(made, 64, 64))
    got = np.concatenate(list(fine.sample([refined])), axis=1)[0]
    assert_made(got, world.seen(large))


def test_a_clip_says_how_long_its_video_is(world):
    clip, model = world.clip[:9], world.model(window(world.latents(world.clip[:9])))
    mask = frames_mask(9, [0])
    for wrong in (
        lambda: model.edit(clip, PROMPT, frames=5),
        lambda: model.inpaint(clip, mask, PROMPT, frames=5),
        lambda: model.outpaint(clip, size=(64, 64), frames=5),
        lambda: model.insert(clip, PROMPT, span=[(0, 0.5)], frames=5),
        lambda: model.upscale(clip, size=(64, 64), frames=5),
    ):
        with pytest.raises(ValueError, match="frames must be left out, got 5"):
            wrong()
    with pytest.raises(ValueError, match="1 \\+ 4k frames, got 11: leave 2 out"):
        model.reconstruct(world.clip[None, :11])


def test_progress_tells_of_parts_steps_and_frames(world):
    clip = world.clip[:9]
    told = []

    def progress(numbers, unit):
        for number in numbers:
            told.append((unit, number))
            yield number

    model = world.model(window(world.latents(clip)))
    made = model.extend(clip[:5], PROMPT, frames=4, progress=progress)
    assert_made(made[5:], world.seen(clip)[5:])
    steps = [("step", number) for number in range(2)]
    assert told == [*steps, *(("frame", number) for number in range(9))]
    told.clear()
    model.extend(clip[:5], frames=4, direction="both", progress=progress)
    assert [number for unit, number in told if unit == "part"] == [0, 1, 2]


def test_storyboard(world):
    clip = world.clip
    picture = frames_mask(9, [0])
    windows = [window(world.latents(clip[:9])), world.given(clip[12:21], picture)]
    stretches = [
        Stretch(frame=0, prompt=PROMPT),
        Stretch(frame=4, prompt="a blue square"),
        Stretch(frame=8, prompt=PROMPT, picture=clip[12:13], cut=True),
    ]
    made = world.model(*windows).storyboard(stretches, frames=15)
    assert_made(made[:8], world.seen(clip[:9])[:8])
    np.testing.assert_array_equal(made[8], clip[12])
    assert_made(made[9:], world.seen(clip[12:21])[1:7])

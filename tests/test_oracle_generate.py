"""With an oracle as transformer, videos from prompts, keyframes and shots are exact."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from sora_jax.sampling import codec
from sora_jax.sampling.tasks import Keyframe, Stretch
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

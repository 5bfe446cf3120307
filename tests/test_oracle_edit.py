"""With an oracle as transformer, edits of a whole clip are exact."""

import numpy as np
import pytest

from sora_jax.data.video import fit, to_uint8
from sora_jax.diffusion import conditioning
from sora_jax.sampling.segments import with_prompts
from sora_jax.sampling.tasks import Upscale
from tests.helpers.oracle import window
from tests.helpers.worlds import PROMPT, assert_made, frames_mask


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
    context = small.context({"frames": 9, "size": (64, 64), "refine_tile": (64, 64)})
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

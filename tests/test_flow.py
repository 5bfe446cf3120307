"""Times are drawn as the formula says, and conditions hide what they should."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sora_jax.config import FlowConfig
from sora_jax.diffusion import conditioning, flow
from sora_jax.types import Tokens


def tokens_of(sizes, levels):
    """A row whose level i has sizes[i - 1] tokens, the first of them clean."""
    ids = np.repeat(np.arange(len(sizes) + 1), [2, *sizes])
    count = len(ids)
    return Tokens(
        x=np.zeros((1, count, 1), np.float32),
        extra=np.zeros((1, count, 0), np.float32),
        coords=np.zeros((1, count, 3), np.float32),
        segments=np.ones((1, count), np.int32),
        levels=np.zeros((1, levels), np.float32),
        level_ids=ids[None].astype(np.int32),
        order=np.zeros((1, count), np.int32),
        target_mask=(ids > 0)[None],
    )


def test_the_median_time_is_the_shift_of_a_half():
    config = FlowConfig(shift=2.0, shift_tokens=80)
    tokens = tokens_of((20, 80, 320), 4)
    keys = jax.random.split(jax.random.key(0), 4001)
    draw = jax.jit(jax.vmap(lambda key: flow.draw_levels(key, tokens, config)))
    medians = np.median(draw(keys)[:, 0], axis=0)
    shifts = 2.0 * np.sqrt(np.array([20, 80, 320]) / 80)
    expected = [0.0, *(shifts / (1 + shifts))]
    np.testing.assert_allclose(medians, expected, atol=0.02)


def test_clean_tokens_stay_and_the_velocity_leads_back_to_the_data():
    tokens = tokens_of((3,), 2)
    tokens = jax.tree.map(jnp.asarray, tokens)
    clean = dataclasses.replace(tokens, x=jnp.arange(5.0)[None, :, None])
    levels = jnp.array([[0.0, 0.75]])
    noisy, velocity = flow.add_noise(jax.random.key(0), clean, levels)
    np.testing.assert_array_equal(noisy.x[0, :2], clean.x[0, :2])
    t = flow.token_times(noisy)[..., None]
    np.testing.assert_allclose(noisy.x - t * velocity, clean.x, atol=1e-6)


def test_a_folded_mask_tells_each_frame_and_share():
    mask = conditioning.given_frames_mask(9, 16, 16, [0, 3, 8])
    mask[8, :, 4:] = 0  # half of the left cells, nothing of the right ones
    folded = conditioning.fold_mask(mask, 4, 8)
    assert folded.shape == (3, 2, 2, 4)
    np.testing.assert_array_equal(
        folded[:, 0, 0], [[1] * 4, [0, 0, 1, 0], [0, 0, 0, 0.5]]
    )
    np.testing.assert_array_equal(folded[2, 0, 1], 0)


@pytest.mark.parametrize("frames", [1, 5, 17])
def test_drawn_masks_know_something_and_leave_something_to_make(frames):
    rng = np.random.default_rng(0)
    for _ in range(60):
        mask = conditioning.draw_mask(rng, frames, 16, 24)
        assert mask.shape == (frames, 16, 24) and set(np.unique(mask)) == {0, 1}


def test_what_is_hidden_leaves_no_trace():
    rng = np.random.default_rng(0)
    pixels = rng.uniform(-1, 1, (5, 8, 8, 3)).astype(np.float32)
    mask = conditioning.outside_box_mask(5, 8, 8, (2, 2, 6, 6))
    other = np.where(mask[..., None] > 0, pixels, rng.uniform(-1, 1, pixels.shape))
    ours, theirs = (
        conditioning.grey_out(p.astype("f4"), mask) for p in (pixels, other)
    )
    np.testing.assert_array_equal(ours.pixels, theirs.pixels)

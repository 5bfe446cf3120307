"""A video made block by block with a cache is that of one masked pass."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sora_jax.data.patches import coordinates
from sora_jax.models.dit import DiT
from sora_jax.models.dit_cache import empty_cache, write_cache
from sora_jax.nn import attention, flash
from sora_jax.nn.kv_cache import slots_of
from sora_jax.sharding import SINGLE_DEVICE
from sora_jax.types import Context, Tokens
from tests.helpers.tiny import make

SIZE, BLOCK, FRAMES = 4, 2, 10  # tokens of a frame; frames of a block, in all


@pytest.fixture(scope="module")
def dit(dit_config):
    return make(DiT, dit_config)


def tokens_of(config, parts, first, levels):
    """Rows of frames from number `first` on, once for each level."""
    b, n = parts[0].shape[:2]
    coords = coordinates((n // SIZE, 2, 2), start=float(first))
    count = len(parts) * n
    return Tokens(
        x=jnp.asarray(np.concatenate(parts, axis=1)),
        extra=jnp.zeros((b, count, config.extra_features)),
        coords=jnp.asarray(np.tile(coords, (b, len(parts), 1))),
        segments=jnp.ones((b, count), jnp.int32),
        levels=jnp.asarray([levels] * b, jnp.float32),
        level_ids=jnp.asarray(np.repeat([np.arange(len(parts))] * b, n, axis=1)),
        target_mask=jnp.ones((b, count), bool),
    )


def context_of(config, b, n):
    states = np.random.default_rng(1).normal(size=(b, 3, dict(config.contexts)["text"]))
    return {
        "text": Context(
            states=jnp.asarray(states, jnp.float32),
            segments=jnp.ones((b, 3), jnp.int32),
            ids=jnp.ones((b, n), jnp.int32),
        )
    }


def rolled(slots, sink):
    """What each token sees: clean frames, then noisy ones, in blocks."""
    frame = np.repeat(np.arange(FRAMES), SIZE)
    first = frame // BLOCK * BLOCK  # of the token's block
    earlier = frame[None] < first[:, None]
    kept = (frame[None] < sink) | (frame[None] >= first[:, None] - (slots - sink))
    own = first[None] == first[:, None]
    past, none = earlier & kept, np.zeros_like(own)
    return jnp.asarray(np.block([[past | own, none], [past, own]]))


@pytest.fixture(scope="module")
def masked(dit):
    """Velocities of one pass over clean and noisy frames, with any mask."""

    @jax.jit
    def run(tokens, contexts, mask):
        def visible(q_meta, kv_meta):
            keys = kv_meta.segments.shape[1]
            whole = mask.shape[0] == keys
            return jnp.stack([mask] * 2) if whole else flash.visible(q_meta, kv_meta)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(attention, "visible", visible)
            return dit(tokens, contexts)

    return run


@pytest.mark.parametrize(("slots", "sink"), [(8, 0), (4, 0), (5, 2)])
def test_a_rolling_cache_is_a_mask_over_the_whole(dit, masked, slots, sink):
    """With room for all, and with a window and its sink; one program for all blocks."""
    config, compiled = dit.config, []
    shape = (2, 2, FRAMES * SIZE, config.patch_features)
    clean, noisy = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    contexts = context_of(config, 2, BLOCK * SIZE)

    @partial(jax.jit, donate_argnames="cache")
    def step(cache, given, now, slots):
        compiled.append(slots)
        velocity = dit(now, contexts, cache=cache)
        arguments = (given, contexts, None, SINGLE_DEVICE, cache, slots, SIZE)
        return velocity, write_cache(dit, *arguments)

    made, cache = [], empty_cache(dit, 2, slots * SIZE)
    for first in range(0, FRAMES, BLOCK):
        here = np.s_[:, first * SIZE : (first + BLOCK) * SIZE]
        given, now = (
            tokens_of(config, [x[here]], first, [level])
            for x, level in ((clean, 0.0), (noisy, 0.7))
        )
        places = slots_of(np.arange(first, first + BLOCK), slots, sink)
        velocity, cache = step(cache, given, now, jnp.asarray(places))
        made.append(velocity)
    assert len(compiled) == 1 and cache.k.shape[2] == slots * SIZE
    both = tokens_of(config, [clean, noisy], 0, [0.0, 0.7])
    contexts = context_of(config, 2, 2 * FRAMES * SIZE)
    wanted = masked(both, contexts, rolled(slots, sink))[:, FRAMES * SIZE :]
    np.testing.assert_allclose(np.concatenate(made, axis=1), wanted, atol=1e-5)


def test_frames_that_are_not_there_are_not_written(dit):
    """The first block may be shorter than the program's."""
    config = dit.config
    shape = (1, BLOCK * SIZE, config.patch_features)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    tokens, contexts = (
        tokens_of(config, [x], 0, [0.0]),
        context_of(config, 1, BLOCK * SIZE),
    )
    cache = empty_cache(dit, 1, 3 * SIZE)
    arguments = (tokens, contexts, None, SINGLE_DEVICE, cache)
    slots = jnp.asarray([2, -1])
    cache = jax.jit(lambda: write_cache(dit, *arguments, slots, SIZE))()
    np.testing.assert_array_equal(
        cache.meta.segments[0].reshape(3, -1)[:, 0], [0, 0, 1]
    )
    assert not cache.k[:, :, : 2 * SIZE].any() and cache.k[:, :, 2 * SIZE :].all()

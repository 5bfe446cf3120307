"""A packed sample gets the velocity, and the gradient, that it gets alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sora_jax.config import AttentionPlan
from sora_jax.data import packing
from sora_jax.data.packing import Sample
from sora_jax.data.patches import coordinates
from sora_jax.diffusion import flow
from sora_jax.models.dit import DiT
from sora_jax.nn.attention import attention
from sora_jax.nn.flash import Meta
from sora_jax.types import Context
from tests.helpers.tiny import make

PAD_TO = 8


def sample(config, grid, seed, prefix=0):
    rng = np.random.default_rng(seed)
    count = int(np.prod(grid))
    return Sample(
        x=rng.normal(size=(count, config.patch_features)).astype(np.float32),
        extra=rng.normal(size=(count, config.extra_features)).astype(np.float32),
        coords=coordinates(grid),
        clean=np.arange(count) < prefix * grid[1] * grid[2],
        captions=rng.integers(1, 300, (1, PAD_TO)).astype(np.int32),
        caption_ids=np.zeros(count, np.int32),
    )


def pack_row(*args):
    """Pack on the host, then put the row on the device."""
    return jax.tree.map(jnp.asarray, packing.pack_row(*args))


def context(batch):
    """Text states that are a function of the token ids alone."""
    table = jax.random.normal(jax.random.key(9), (320, 12))
    read = batch.contexts["text"]
    states = table[read.inputs].reshape(len(read.inputs), -1, 12)
    captions = read.inputs.shape[1]
    segments = jnp.repeat(jnp.arange(1, captions + 1, dtype=jnp.int32), PAD_TO)
    segments = jnp.broadcast_to(segments, states.shape[:2])
    return {"text": Context(states=states, segments=segments, ids=read.ids)}


@pytest.fixture(scope="module")
def dit(dit_config):
    return make(DiT, dit_config)


@pytest.fixture(scope="module")
def samples(dit_config):
    grids = ((1, 2, 2), (3, 2, 3), (2, 2, 2))
    return [sample(dit_config, grid, i, i % 2) for i, grid in enumerate(grids)]


def at_levels(batch, levels):
    tokens = dataclasses.replace(batch.tokens, levels=jnp.float32([levels]))
    return tokens


def test_a_packed_sample_equals_the_same_sample_alone(dit, samples):
    times = [0.2, 0.5, 0.9]
    row = pack_row(samples, 40, 4, PAD_TO)
    tokens = at_levels(row, [0.0, *times, 0.0])

    @jax.jit
    def error(params, tokens, contexts, segment):
        velocity = nnx.merge(graphdef, params)(tokens, contexts)
        counted = (tokens.segments == segment) & tokens.target_mask
        return jnp.sum(jnp.square(velocity) * counted[..., None]), velocity

    graphdef, params = nnx.split(dit)
    gradient = jax.jit(jax.value_and_grad(error, has_aux=True))
    start = 0
    for i, alone in enumerate(samples):
        stop = start + len(alone.x)
        (_, packed_v), packed_g = gradient(params, tokens, context(row), i + 1)
        # One is alone without padding; the others share the compiled row.
        tokens_of_row, rooms = (len(alone.x), 1) if i == 1 else (40, 4)
        single = pack_row([alone], tokens_of_row, rooms, PAD_TO)
        single_tokens = at_levels(single, [0.0, times[i]] + [0.0] * (rooms - 1))
        (_, v), g = gradient(params, single_tokens, context(single), 1)
        found, wanted = packed_v[0, start:stop], v[0, : len(alone.x)]
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
        for a, b in zip(jax.tree.leaves(packed_g), jax.tree.leaves(g), strict=True):
            scale = np.abs(b).max() + 1e-6
            np.testing.assert_allclose(a / scale, b / scale, atol=1e-5)
        start = stop


def test_order_hides_what_comes_later(dit, dit_config):
    row = pack_row([sample(dit_config, (3, 2, 2), 0)], 12, 1, PAD_TO)
    frame = jnp.repeat(jnp.arange(3, dtype=jnp.int32), 4)[None]
    tokens = dataclasses.replace(at_levels(row, [0.0, 0.5]), order=frame)

    def first_frames(x):
        tokens_x = dataclasses.replace(tokens, x=x)
        return jnp.sum(dit(tokens_x, context(row))[:, :8] ** 2)

    reach = np.abs(jax.jit(jax.grad(first_frames))(tokens.x)).sum(axis=(0, 2))
    assert (reach[:8] > 0).all()
    assert (reach[8:] == 0).all()


def test_contexts_projected_once_change_nothing(dit, samples):
    row = pack_row(samples, 40, 4, PAD_TO)
    tokens = at_levels(row, [0.0, 0.3, 0.6, 0.9, 0.0])
    contexts = context(row)
    memory = jax.jit(dit.project_contexts)(contexts)
    direct = jax.jit(dit)(tokens, contexts)
    np.testing.assert_allclose(
        jax.jit(dit)(tokens, contexts, memory), direct, atol=1e-5
    )


def test_one_level_broadcasts_to_what_many_give(dit, dit_config):
    row = pack_row([sample(dit_config, (2, 2, 2), 0)], 8, 1, PAD_TO)
    many = at_levels(row, [0.0, 0.4])
    one = dataclasses.replace(
        many,
        levels=jnp.float32([[0.4]]),
        level_ids=jnp.zeros_like(many.level_ids),
    )
    contexts = context(row)
    run = jax.jit(dit)
    np.testing.assert_allclose(run(one, contexts), run(many, contexts), atol=1e-5)


def test_contexts_are_told_apart_by_name(dit_config, samples):
    config = dataclasses.replace(dit_config, contexts=(("text", 12), ("image", 12)))
    dit = make(DiT, config)
    row = pack_row(samples[:1], 4, 1, PAD_TO)
    tokens = at_levels(row, [0.0, 0.5])
    text = context(row)["text"]
    other = dataclasses.replace(text, states=-text.states)
    run = jax.jit(dit)
    both = run(tokens, {"text": text, "image": other})
    swapped = run(tokens, {"text": other, "image": text})
    assert float(jnp.abs(both - swapped).max()) > 1e-3


@pytest.mark.parametrize("remat", ["full", "dots", "attention"])
def test_remat_changes_no_gradient(dit, dit_config, samples, remat):
    row = pack_row(samples, 40, 4, PAD_TO)
    levels = jnp.float32([[0.0, 0.3, 0.6, 0.9, 0.0]])
    params = nnx.state(dit)

    def gradient(config):
        graphdef = nnx.graphdef(nnx.eval_shape(lambda: DiT(config, rngs=nnx.Rngs(0))))

        def loss(params):
            tokens, target = flow.add_noise(jax.random.key(0), row.tokens, levels)
            velocity = nnx.merge(graphdef, params)(tokens, context(row))
            return flow.loss(velocity, target, tokens.target_mask)

        return jax.jit(jax.grad(loss))(params)

    plain = gradient(dit_config)
    other = gradient(dataclasses.replace(dit_config, remat=remat))
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_padding_has_finite_values_and_no_loss(dit, samples):
    row = pack_row(samples, 64, 6, PAD_TO)
    tokens = at_levels(row, [0.0, 0.3, 0.6, 0.9, 0.0, 0.0, 0.0])
    assert not row.tokens.target_mask[0, 30:].any()

    @jax.jit
    def loss(x):
        noisy = dataclasses.replace(tokens, x=x)
        velocity = dit(noisy, context(row))
        return flow.loss(velocity, jnp.zeros_like(velocity), noisy.target_mask)

    moved = tokens.x.at[:, 30:].add(7.0)
    assert np.isfinite(loss(tokens.x)) and loss(tokens.x) == loss(moved)


@pytest.mark.parametrize("n", [12, 13])
def test_blocks_of_queries_equal_the_whole(n):
    rng = np.random.default_rng(0)
    q, k, v = (
        jnp.asarray(rng.normal(size=(2, n, 3, 4)), jnp.float32) for _ in range(3)
    )
    segments = jnp.asarray(np.arange(n) // 5, jnp.int32)[None].repeat(2, axis=0)
    order = jnp.asarray(rng.integers(0, 3, (2, n)), jnp.int32)
    meta = Meta(segments=segments, order=order)

    def weighed(q, most):
        plan = AttentionPlan(most_scores=most)
        return jnp.sum(attention(q, k, v, meta, meta, plan) * v)

    whole, blocks = (
        jax.jit(jax.value_and_grad(weighed), static_argnums=1)(q, most)
        for most in (10**9, 2 * 3 * n * 5)
    )
    np.testing.assert_allclose(blocks[0], whole[0], rtol=1e-5)
    np.testing.assert_allclose(blocks[1], whole[1], atol=1e-5)

"""Kernels that store no scores give what all scores in memory give."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sora_jax.config import AttentionPlan
from sora_jax.nn import flash_splash
from sora_jax.nn.attention import attend, attention
from sora_jax.nn.flash import Meta, merge, visible
from sora_jax.nn.flash_blocks import BlockKernel
from sora_jax.nn.flash_splash import tile

KERNELS = ("xla", "splash", "triton")


def drawn(rows, dtype, seed=0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(size=(2, rows, 3, 16)), dtype)


def segments(rows, last):
    """Two segments and padding; in the second row the last one is alone."""
    ids = np.where(np.arange(rows) < rows // 3, 1, 2)
    ids = np.stack([np.where(np.arange(rows) < rows - 7, ids, 0), ids])
    ids[1, -3:] = last
    return jnp.asarray(ids, jnp.int32)


def both(function, q, k, v):
    """What comes out, and all three gradients."""

    @jax.jit  # one program compiles sooner than each of its operations
    def run(q, k, v):
        out, back = jax.vjp(function, q, k, v)
        return [out, *back(jnp.cos(out.astype(jnp.float32)).astype(out.dtype))]

    return run(q, k, v)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("keys", ["own", "others"])
def test_kernels_equal_all_scores_in_memory(kernel, keys, dtype):
    n, m = 150, 150 if keys == "own" else 90
    q, k, v = drawn(n, dtype), drawn(m, dtype, 1), drawn(m, dtype, 2)
    # Of others' keys there are none of segment 3: those queries see nothing.
    q_meta = Meta(segments=segments(n, last=3))
    kv_meta = q_meta if keys == "own" else Meta(segments=segments(m, last=2))
    plan = AttentionPlan(
        kernel=kernel, most_scores=9000, block_q=128, block_kv=128, interpret=True
    )

    def ours(q, k, v):
        return attention(q, k, v, q_meta, kv_meta, plan, is_self=keys == "own")

    def wanted(q, k, v):
        q, k, v = (x.astype(jnp.float32) for x in (q, k, v))
        return attend(q, k, v, visible(q_meta, kv_meta))

    tolerance = 1e-5 if dtype == "float32" else 5e-2
    for got, want in zip(both(ours, q, k, v), both(wanted, q, k, v), strict=True):
        got, want = np.asarray(got, np.float32), np.asarray(want, np.float32)
        assert np.abs(got - want).max() <= tolerance * np.abs(want).max()
    unseen = ~np.asarray(visible(q_meta, kv_meta)).any(axis=-1)
    assert unseen.any()
    assert not np.asarray(jax.jit(ours)(q, k, v), np.float32)[unseen].any()


def test_large_padding_makes_no_gradient_infinite():
    q, k, v = (100 * drawn(130, "float32", seed) for seed in range(3))
    meta = Meta(segments=segments(130, last=2))
    plan = AttentionPlan(kernel="triton", most_scores=1, interpret=True)

    def ours(q, k, v):
        return attention(q, k, v, meta, meta, plan, is_self=True)

    assert all(np.isfinite(x).all() for x in both(ours, q, k, v))


def test_the_queries_gradient_adds_up_over_groups_of_keys(monkeypatch):
    monkeypatch.setattr(flash_splash, "PARTS", 2)
    q, k, v = drawn(60, "float32"), drawn(500, "float32", 1), drawn(500, "float32", 2)
    q_meta, kv_meta = (Meta(segments=segments(x.shape[1], last=2)) for x in (q, k))
    plan = AttentionPlan(
        kernel="splash", most_scores=1, block_q=128, block_kv=128, interpret=True
    )
    ours = both(lambda *x: attention(*x, q_meta, kv_meta, plan), q, k, v)
    wanted = both(lambda *x: attend(*x, visible(q_meta, kv_meta)), q, k, v)
    for got, want in zip(ours, wanted, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5)


def test_keys_in_parts_are_keys_at_once():
    q, k, v = (drawn(40, "float32", seed).swapaxes(1, 2) for seed in range(3))
    meta = Meta(
        segments=segments(40, last=3),
        order=jnp.asarray(np.arange(40)[None].repeat(2, axis=0) // 6, jnp.int32),
    )
    kernel = BlockKernel(500)
    whole, _ = kernel.forward(q, k, v, meta, meta)
    parts = [
        kernel.forward(
            q, k[:, :, here], v[:, :, here], meta, Meta(*(x[:, here] for x in meta))
        )
        for here in (slice(0, 25), slice(25, 40))
    ]
    merged, _ = merge(*parts)
    np.testing.assert_allclose(merged, whole, atol=1e-6)


def test_only_xla_hides_by_order():
    q = drawn(140, "float32")
    ids = segments(140, last=2)
    meta = Meta(segments=ids, order=ids)
    plan = AttentionPlan(kernel="splash", most_scores=1, interpret=True)
    with pytest.raises(
        ValueError, match="'splash' does not support order.*kernel to 'xla'"
    ):
        attention(q, q, q, meta, meta, plan)
    assert attention(q, q, q, meta, meta, AttentionPlan(most_scores=1)).shape == q.shape


@pytest.mark.parametrize(
    ("length", "most", "size"),
    [(75_600, 1024, 1024), (32_760, 1024, 1024), (512, 1024, 512), (77, 1024, 128)],
)
def test_tiles_are_large_and_need_little_padding(length, most, size):
    assert tile(length, most) == size
    assert -(-length // size) * size <= 1.03 * (-(-length // 128) * 128)

"""The transformer's hooks: a cache of earlier tokens, residuals, several contexts."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sora_jax.config import AttentionPlan
from sora_jax.data.packing import Sample, pack_row
from sora_jax.data.patches import coordinates
from sora_jax.models.contexts import ContextEncoder
from sora_jax.models.dit import DiT
from sora_jax.models.dit_stack import run_blocks
from sora_jax.models.text_encoder import TextEncoder
from sora_jax.sharding import SINGLE_DEVICE
from sora_jax.types import Context, Tokens
from tests.helpers.tiny import make

GRIDS = ((4, 2, 2), (3, 2, 3))  # patches of two samples in a row, with padding behind
ROOM, PAD_TO = 40, 4


@pytest.fixture(scope="module")
def dit(dit_config):
    config = dataclasses.replace(dit_config, contexts=(("text", 12), ("picture", 8)))
    return make(DiT, config)


@pytest.fixture(scope="module")
def row(dit):
    """Two samples of several levels; the order of a token is its frame."""
    config, rng = dit.config, np.random.default_rng(0)

    def sample(grid):
        count = int(np.prod(grid))
        return Sample(
            x=rng.normal(size=(count, config.patch_features)).astype(np.float32),
            extra=rng.normal(size=(count, config.extra_features)).astype(np.float32),
            coords=coordinates(grid),
            clean=np.arange(count) < 4,
            captions=rng.integers(1, 300, (1, PAD_TO)).astype(np.int32),
            caption_ids=np.zeros(count, np.int32),
        )

    packed = pack_row([sample(grid) for grid in GRIDS], ROOM, 2, PAD_TO)
    tokens = jax.tree.map(jnp.asarray, packed.tokens)
    return dataclasses.replace(
        tokens,
        levels=jnp.float32([[0.0, 0.3, 0.8]]),
        order=jnp.asarray(tokens.coords[..., 0], jnp.int32),
    )


def context(row, features, seed):
    """Four states for each of the two samples."""
    states = np.random.default_rng(seed).normal(size=(1, 8, features))
    return Context(
        states=jnp.asarray(states, jnp.float32),
        segments=jnp.asarray([[1] * 4 + [2] * 4], jnp.int32),
        ids=row.segments,
    )


@pytest.fixture(scope="module")
def contexts(row):
    return {"text": context(row, 12, 1), "picture": context(row, 8, 2)}


def taken(tree, here):
    """The tokens at some positions: fields of tokens, ids of contexts."""
    per_token = {
        "x",
        "extra",
        "coords",
        "segments",
        "level_ids",
        "target_mask",
        "order",
    }
    names = per_token if isinstance(tree, Tokens) else {"ids"}
    fields = {name: getattr(tree, name) for name in names}
    cut = {name: x[:, here] for name, x in fields.items() if x is not None}
    return dataclasses.replace(tree, **cut)


PLANS = {
    "all scores in memory": AttentionPlan(),
    "xla": AttentionPlan(kernel="xla", most_scores=300),
    "splash": AttentionPlan(
        kernel="splash", most_scores=1, block_q=128, block_kv=128, interpret=True
    ),
    "triton": AttentionPlan(kernel="triton", most_scores=1, interpret=True),
}


@pytest.mark.parametrize("plan", PLANS)
def test_a_row_in_parts_equals_the_whole(dit, row, contexts, plan):
    """The parts need no order, which kernels do not know: each sees all before it."""
    has_order = plan in ("all scores in memory", "xla")
    second = np.asarray(row.coords[0, :, 0] >= 2)
    whole = dataclasses.replace(row, order=jnp.asarray(second[None], jnp.int32))
    wanted = jax.jit(dit)(whole, contexts)

    config = dataclasses.replace(dit.config, attention=PLANS[plan])
    streaming = make(DiT, config)  # of the same parameters
    cache = None
    for here in (np.flatnonzero(~second), np.flatnonzero(second)):
        part = taken(whole, here)
        part = part if has_order else dataclasses.replace(part, order=None)
        told = {name: taken(one, here) for name, one in contexts.items()}
        velocity, cache = jax.jit(streaming.with_cache)(part, told, cache=cache)
        np.testing.assert_allclose(velocity[0], wanted[0, here], atol=1e-5)
    assert cache.k.shape[:3] == (dit.config.depth, 1, ROOM)


def test_a_cache_grows_part_by_part(dit, row, contexts):
    wanted = jax.jit(dit)(row, contexts)
    cache = before = None
    for first, last in ((0, 0), (1, 2), (3, 3)):
        before, order = cache, np.asarray(row.order[0])
        here = np.flatnonzero((order >= first) & (order <= last))
        told = {name: taken(one, here) for name, one in contexts.items()}
        part = taken(row, here)
        velocity, cache = jax.jit(dit.with_cache)(part, told, cache=before)
        seen = np.asarray(row.segments[0, here]) > 0
        np.testing.assert_allclose(
            velocity[0][seen], wanted[0, here][seen], rtol=1e-5, atol=1e-5
        )
    # A cache may be read without growing.
    again = jax.jit(dit)(part, told, cache=before)
    np.testing.assert_allclose(again, velocity, atol=1e-5)
    np.testing.assert_array_equal(jnp.sort(cache.meta.order), jnp.sort(row.order))


def test_a_residual_is_added_after_its_layer(dit, row, contexts):
    depth, width = dit.config.depth, dit.config.width
    drawn = np.random.default_rng(3).normal(size=(depth, 1, ROOM, width))
    residuals = jnp.asarray(drawn, jnp.float32)
    states = dit.embed_contexts(contexts, SINGLE_DEVICE)
    x, _, inputs = dit.embed_inputs(row, contexts, SINGLE_DEVICE)

    @jax.jit
    def run(residuals):
        return run_blocks(
            *(dit.config, dit.blocks, x, inputs, states, None, None, residuals),
            keeps_cache=False,
        )[0]

    @jax.jit
    def run_block(block, x):
        memory = block.cross_attention.project_contexts(states, SINGLE_DEVICE)
        return block(x, inputs, memory)[0]

    for layer in range(depth):
        one = jnp.zeros_like(residuals).at[layer].set(residuals[layer])
        wanted = x
        for i in range(depth):
            block = jax.tree.map(lambda stacked, i=i: stacked[i], dit.blocks)
            wanted = run_block(block, wanted)
            wanted = wanted + residuals[layer] if i == layer else wanted
        np.testing.assert_allclose(run(one), wanted, rtol=1e-5, atol=1e-4)


def test_residuals_of_zeros_change_nothing(dit, row, contexts):
    zeros = jnp.zeros((dit.config.depth, 1, ROOM, dit.config.width))
    plain = jax.jit(dit)(row, contexts)
    run = jax.jit(lambda residuals: dit(row, contexts, residuals=residuals))
    np.testing.assert_allclose(run(zeros), plain, atol=1e-5)


def test_hooks_that_are_not_used_cost_nothing(dit, row, contexts):
    """The loop over layers carries tokens, reads parameters, and leaves nothing."""

    def loop(**hooks):
        closed = jax.make_jaxpr(lambda: dit(row, contexts, **hooks))()
        (scan,) = (e for e in closed.eqns if e.primitive.name == "scan")
        return scan

    parameters = len(jax.tree.leaves(dit.blocks))
    plain, counts = loop(), ("num_consts", "num_carry")
    read = len(plain.invars) - sum(plain.params[name] for name in counts)
    assert plain.params["num_carry"] == len(plain.outvars) == 1
    assert read == parameters
    zeros = jnp.zeros((dit.config.depth, 1, ROOM, dit.config.width))
    assert len(loop(residuals=zeros).invars) == len(plain.invars) + 1


def test_a_context_of_no_segment_equals_none(dit, row, contexts):
    run = jax.jit(dit)
    both = run(row, contexts)
    alone = run(row, {"text": contexts["text"]})
    picture = contexts["picture"]
    for unread in (
        dataclasses.replace(picture, segments=jnp.zeros_like(picture.segments)),
        dataclasses.replace(picture, ids=jnp.zeros_like(picture.ids)),
    ):
        found = run(row, {"text": contexts["text"], "picture": unread})
        np.testing.assert_allclose(found, alone, atol=1e-5)
    assert float(jnp.abs(both - alone).max()) > 1e-3


def test_contexts_may_come_in_any_order(dit, row, contexts):
    turned = dict(reversed(contexts.items()))
    np.testing.assert_array_equal(dit(row, contexts), dit(row, turned))
    memory = dit.project_contexts(turned)
    np.testing.assert_allclose(
        dit(row, contexts, memory), dit(row, turned), rtol=1e-5, atol=1e-5
    )


def test_a_context_without_parameters_is_named(dit, row, contexts):
    with pytest.raises(ValueError, match=r"contexts must be among .*\['sound'\]"):
        dit(row, {**contexts, "sound": contexts["text"]})


@dataclasses.dataclass(frozen=True)
class PictureEncoder:
    """States of pictures: their pixels, four to a state."""

    def encode(self, inputs, mesh_plan=SINGLE_DEVICE):
        """Encode pictures [b s n]."""
        b, pictures, n = inputs.shape
        states = inputs.reshape(b, pictures * n // 4, 4)
        segments = jnp.repeat(jnp.arange(1, pictures + 1, dtype=jnp.int32), n // 4)
        return states, jnp.broadcast_to(segments, states.shape[:2])


@pytest.mark.parametrize("name", ["text", "picture"])
def test_context_encoders_give_states_and_segments(name, text_config):
    """The contract of `ContextEncoder`."""
    rng = np.random.default_rng(0)
    encoder, inputs = {
        "text": (make(TextEncoder, text_config), rng.integers(1, 300, (2, 3, 8))),
        "picture": (PictureEncoder(), rng.normal(size=(2, 3, 8))),
    }[name]
    assert isinstance(encoder, ContextEncoder)
    dtype = jnp.int32 if name == "text" else jnp.float32
    inputs = jnp.asarray(inputs, dtype)
    states, segments = encoder.encode(inputs, SINGLE_DEVICE)
    assert states.shape[:2] == segments.shape and len(states) == 2
    assert sorted(set(np.asarray(segments).flat)) == [1, 2, 3]
    # An input is encoded by itself, whatever is beside it.
    first, _ = encoder.encode(inputs[:, :1], SINGLE_DEVICE)
    np.testing.assert_allclose(
        states[segments == 1], first.reshape(-1, first.shape[-1]), atol=1e-5
    )

"""A training state that is saved and compared bit by bit."""

import jax
import jax.numpy as jnp
import numpy as np

from sora_jax.checkpoint import Checkpoints


def state(seed: int = 0, size: int = 64) -> dict:
    keys = jax.random.split(jax.random.key(seed), 3)
    model = {
        "blocks": {"kernel": jax.random.normal(keys[0], (size, size))},
        "head": jax.random.normal(keys[1], (size,), jnp.bfloat16),
    }
    optimizer = {"step": jnp.int32(seed), "mu": jax.random.normal(keys[2], (3, 5))}
    return {"model": model, "ema": jax.tree.map(jnp.negative, model), "opt": optimizer}


def abstract(tree: dict) -> dict:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def assert_same_bits(a: dict, b: dict) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def save_twice(workdir):
    """Save steps 10 and 20."""
    with Checkpoints(workdir) as checkpoints:
        for step in (10, 20):
            checkpoints.save(step, state(step), {"seconds": step})

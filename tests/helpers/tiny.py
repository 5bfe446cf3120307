"""Networks of a size for tests."""

import jax
import numpy as np
from flax import nnx

from sora_jax.config import DiTConfig, DiTRun


def make(module, config, seed=0):
    """Build a module with random parameters, without compiling its initialisation.

    No parameter is zero, so that nothing can hide behind a zero.
    """
    graphdef, state = nnx.split(
        nnx.eval_shape(lambda: module(config, rngs=nnx.Rngs(0)))
    )
    rng = np.random.default_rng(seed)

    def draw(x):
        fan_in = int(np.prod(x.shape[:-1])) if len(x.shape) > 1 else 4
        noise = rng.normal(size=x.shape) / np.sqrt(max(fan_in, 1))
        # Vectors are scales as well as biases: keep them near one.
        return np.asarray(noise + (len(x.shape) < 2), np.float32)

    leaves = jax.tree.map(draw, state)
    return jax.tree.map(jax.numpy.asarray, nnx.merge(graphdef, leaves))


def run_on(latents, **fields):
    """A DiT run on the encoded clips of the fixture `latents`."""
    fields = {"channels": 8, "extra_channels": 12, **fields}
    return DiTRun(latents=str(latents), dit=DiTConfig(**fields))

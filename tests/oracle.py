"""A transformer that knows the answer, in the place of one that has learned it."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from sora_jax.data.patches import patchify
from sora_jax.models.dit import DiT

PATCH = (1, 2, 2)
TOLERANCE = 1e-4


class Oracle(DiT):
    """Returns the true velocity of the one window that it expects and recognises.

    What is known, as clean tokens or as channels, must be just what it is in one of the
    expected windows; otherwise it returns NaN. So it checks the conditions that tasks
    build as well as what is made of its answers.
    """

    def __init__(self, windows):
        self.x = nnx.Param(jnp.stack([x for x, _ in windows]))
        self.extra = nnx.Param(jnp.stack([extra for _, extra in windows]))

    def remember(self, contexts):
        """Remember nothing."""
        del contexts
        return {}

    def __call__(self, tokens, contexts, memory):
        """The velocity from what is seen to the truth."""
        del contexts, memory
        given = ~tokens.made[..., None]

        def error(x, extra):
            prefix = jnp.max(jnp.abs(jnp.where(given, tokens.x - x, 0)), axis=(1, 2))
            channels = jnp.abs(tokens.extra - extra).max(axis=(1, 2), initial=0)
            return jnp.maximum(prefix, channels)

        errors = jax.vmap(error)(self.x[...][:, None], self.extra[...][:, None])
        truth = self.x[...][jnp.argmin(errors, axis=0)]
        time = tokens.levels[:, 1][:, None, None]
        is_known = (jnp.min(errors, axis=0) < TOLERANCE)[:, None, None]
        return jnp.where(is_known, (tokens.x - truth) / time, jnp.nan)


def window(latents, channels=None, features=32):
    """A window that an oracle expects: its latents, and the channels beside them."""
    x = patchify(np.asarray(latents), PATCH)
    if channels is None:
        return x, np.zeros((len(x), features), np.float32)
    return x, patchify(np.asarray(channels), PATCH)

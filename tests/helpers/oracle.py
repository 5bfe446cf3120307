"""A transformer that knows the answer, in the place of one that has learned it."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from sora_jax.data.patches import coordinates, grid_of, patchify
from sora_jax.models.dit import DiT

PATCH = (1, 2, 2)
TOLERANCE = 1e-4


class Oracle(DiT):
    """Returns the true velocity of the one window that it expects and recognises.

    What is known, as clean tokens or as channels, and the coordinates must be just what
    they are in one of the expected windows; otherwise it returns NaN. So it checks the
    conditions that tasks build as well as what is made of its answers.
    """

    def __init__(self, windows):
        x, extra, coords = (jnp.stack(part) for part in zip(*windows, strict=True))
        self.x, self.extra = nnx.Param(x), nnx.Param(extra)
        self.coords = nnx.Param(coords)

    def project_contexts(self, contexts, mesh_plan):
        """Project nothing."""
        del contexts, mesh_plan
        return {}

    def __call__(self, tokens, contexts, memory, mesh_plan, cache=None):
        """The velocity from what is seen to the truth."""
        del contexts, memory, mesh_plan, cache
        given = ~tokens.target_mask[..., None]

        def error(x, extra, coords):
            prefix = jnp.max(jnp.abs(jnp.where(given, tokens.x - x, 0)), axis=(1, 2))
            channels = jnp.abs(tokens.extra - extra).max(axis=(1, 2), initial=0)
            places = jnp.abs(tokens.coords - coords).max(axis=(1, 2))
            return jnp.maximum(jnp.maximum(prefix, channels), places)

        expected = (self.x[...], self.extra[...], self.coords[...])
        errors = jax.vmap(error)(*(part[:, None] for part in expected))
        truth = self.x[...][jnp.argmin(errors, axis=0)]
        time = tokens.levels[:, 1][:, None, None]
        is_known = (jnp.min(errors, axis=0) < TOLERANCE)[:, None, None]
        return jnp.where(is_known, (tokens.x - truth) / time, jnp.nan)


def window(latents, channels=None, features=32, start=0):
    """A window that an oracle expects.

    Args:
      latents: the truth.
      channels: beside them; by default nothing is known.
      features: of the channels of a token, where nothing is known.
      start: time of the first latent; 1 where the video's beginning is elsewhere.
    """
    latents = np.asarray(latents)
    x, grid = patchify(latents, PATCH), grid_of(latents.shape, PATCH)
    extra = np.zeros((len(x), features), np.float32)
    if channels is not None:
        extra = patchify(np.asarray(channels), PATCH)
    return x, extra, coordinates(grid, start=float(start))

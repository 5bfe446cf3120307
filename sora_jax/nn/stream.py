"""The frames that causal layers carry over between the chunks of a clip.

A clip can be processed whole or in chunks with equal results: each layer that looks
back in time asks its `Stream` for the frames before the chunk and leaves its own last
frames there. The stream lives only while a function is traced; the cache that goes in
and out of the function is a plain tuple of arrays.
"""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from sora_jax.sharding import SINGLE_DEVICE, MeshPlan

Cache = tuple[Array, ...]
TemporalPadding = Literal["first", "zeros"]


class Stream:
    """The past frames of each causal layer, in the order of the forward pass.

    Before the opening chunk come zeros, or the first frame repeated: then a still clip
    has the same features at every time.

    Attributes:
      temporal_padding: which of the two.
      opening: whether this chunk begins the clip.
      mesh_plan: how devices share the frames.
    """

    def __init__(
        self,
        temporal_padding: TemporalPadding,
        cache: Cache | None = None,
        mesh_plan: MeshPlan = SINGLE_DEVICE,
    ):
        self.temporal_padding: TemporalPadding = temporal_padding
        self.mesh_plan = mesh_plan
        self.opening = cache is None
        self._past = iter(cache or ())
        self._carried: list[Array] = []

    def prepend(
        self, x: Float[Array, "b t h w c"], frames: int
    ) -> Float[Array, "b t2 h w c"]:
        """Prepend the last `frames` frames of the past; keep those of the result."""
        if self.opening:
            mode = "edge" if self.temporal_padding == "first" else "constant"
            before = ((0, 0), (frames, 0), (0, 0), (0, 0), (0, 0))
            return self.carry(jnp.pad(x, before, mode=mode), frames)
        return self.resume(x, frames)

    def resume(
        self, x: Float[Array, "b t h w c"], frames: int
    ) -> Float[Array, "b t2 h w c"]:
        """Do as `prepend`, but without padding before the opening chunk."""
        if not self.opening:
            x = jnp.concatenate([next(self._past).astype(x.dtype), x], axis=1)
        return self.carry(x, frames)

    def carry(self, x: Float[Array, "b t h w c"], frames: int) -> Array:
        """Keep the last `frames` frames for the next chunk; return all."""
        self._carried.append(x[:, x.shape[1] - frames :])
        return x

    @property
    def cache(self) -> Cache:
        """What the next chunk needs."""
        return tuple(self._carried)

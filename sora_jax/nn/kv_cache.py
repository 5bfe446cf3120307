"""A cache of keys and values of earlier tokens, for causal streaming.

It grows (`append`), or has a fixed number of slots, each for a frame of tokens, where
the latest frames take the places of the oldest (`write`): one compiled program then
serves a stream of any length. Keys are rotated already, so that a frame's place in the
cache does not matter.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from sora_jax.nn.flash import Meta


class KVCache(NamedTuple):
    """What self-attention keeps of earlier tokens.

    Attributes:
      k: keys, already rotated by the coordinates of their tokens.
      v: values; both of one layer, or with a leading axis of layers.
      meta: segments and order of the tokens, the same in all layers.
    """

    k: Float[Array, "*layers b m k e"]
    v: Float[Array, "*layers b m k e"]
    meta: Meta

    def append(
        self,
        k: Float[Array, "*layers b n k e"],
        v: Float[Array, "*layers b n k e"],
        meta: Meta,
    ) -> KVCache:
        """Put later tokens behind the earlier ones.

        Without an order the later tokens see all; with one, earlier tokens that have
        none count as order 0.
        """
        segments = jnp.concatenate([self.meta.segments, meta.segments], axis=1)
        order = meta.order
        if order is not None:
            before = self.meta.order
            if before is None:
                before = jnp.zeros_like(self.meta.segments)
            order = jnp.concatenate([before, order], axis=1)
        return KVCache(
            jnp.concatenate([self.k, k.astype(self.k.dtype)], axis=-3),
            jnp.concatenate([self.v, v.astype(self.v.dtype)], axis=-3),
            Meta(segments=segments, order=order),
        )

    def write(
        self,
        k: Float[Array, "*layers b n k e"],
        v: Float[Array, "*layers b n k e"],
        meta: Meta,
        slots: Int[Array, " t"],
        size: int,
    ) -> KVCache:
        """Put frames of tokens into slots, in the place of what is there.

        Args:
          k: keys of t frames, one after another; any behind them are dropped.
          v: their values.
          meta: of the tokens, which have no order.
          slots: of each frame (see `slots_of`); -1 drops it.
          size: tokens of a frame.
        """

        def put(held: Array, new: Array, axis: int) -> Array:
            for number in range(len(slots)):
                frame = jax.lax.slice_in_dim(
                    new, number * size, (number + 1) * size, axis=axis
                )
                at = jnp.maximum(slots[number], 0) * size
                before = jax.lax.dynamic_slice_in_dim(held, at, size, axis)
                frame = jnp.where(slots[number] >= 0, frame.astype(held.dtype), before)
                held = jax.lax.dynamic_update_slice_in_dim(held, frame, at, axis)
            return held

        axis = k.ndim - 3
        segments = put(self.meta.segments, meta.segments, 1)
        return KVCache(
            put(self.k, k, axis), put(self.v, v, axis), Meta(segments=segments)
        )


def slots_of(
    frames: Int[np.ndarray, " t"], slots: int, sink: int
) -> Int[np.ndarray, " t"]:
    """Return the slots of frames of a stream: the first keep theirs, others rotate.

    Args:
      frames: their numbers in the stream.
      slots: of the cache.
      sink: frames that stay; fewer than the slots, unless all frames have one.
    """
    rotating = max(1, slots - sink)
    return np.where(frames < sink, frames, sink + (frames - sink) % rotating)

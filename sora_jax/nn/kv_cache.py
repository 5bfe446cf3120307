"""A cache of keys and values of earlier tokens, for causal streaming."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

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

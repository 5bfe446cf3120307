"""`ContextEncoder`, the protocol of encoders for cross-attention, such as of text."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from sora_jax.sharding import MeshPlan


def encoded_before(
    states: Float[Array, "b s l d"],
) -> tuple[Float[Array, "b m d"], Int[Array, "b m"]]:
    """Return cached states as `ContextEncoder.encode` returns them; m = s * l."""
    b, inputs, length, width = states.shape
    segments = jnp.repeat(jnp.arange(1, inputs + 1, dtype=jnp.int32), length)
    return (
        states.reshape(b, inputs * length, width),
        jnp.broadcast_to(segments, (b, inputs * length)),
    )


@runtime_checkable  # the tests check types at run time
class ContextEncoder(Protocol):
    """An encoder whose states become a `types.Context`.

    A transformer has one context for each entry of `DiTConfig.contexts`, with an
    embedding and, in every block, keys and values of its own.
    """

    def encode(
        self, inputs: Array, mesh_plan: MeshPlan = ...
    ) -> tuple[Float[Array, "b l d"], Int[Array, "b l"]]:
        """Encode the inputs of packed rows, several to a row.

        Returns:
          States, and the segment of each: inputs of a row count from 1, and 0 is read
          by no token.
        """
        ...

"""The kernel for GPUs: JAX's Pallas attention for Triton, for self-attention.

It takes one row of segments for queries and keys alike, and in the backward pass as
many blocks of one as of the other; `BlockKernel` does everything else.
"""

from __future__ import annotations

import dataclasses
import math

import jax.numpy as jnp
from jax.experimental.pallas.ops.gpu import attention as triton
from jaxtyping import Array

from sora_jax.nn.flash import NEGLIGIBLE, Meta, pad_to_multiple
from sora_jax.nn.flash_blocks import BlockKernel

FORWARD = 128  # queries and keys of a tile
BACKWARD = 32
LOG_2 = math.log(2)
SIZES = triton.BlockSizes(
    block_q=FORWARD,
    block_k=FORWARD,
    block_q_dkv=BACKWARD,
    block_kv_dkv=BACKWARD,
    block_q_dq=BACKWARD,
    block_kv_dq=BACKWARD,
)


@dataclasses.dataclass(frozen=True)
class TritonKernel:
    """Attends in tiles; on platforms other than GPUs only when interpreted."""

    # Whether keys are the tokens of the queries; other keys go through XLA.
    own_keys: bool
    most_scores: int
    interpret: bool = False

    @property
    def fallback(self) -> BlockKernel:
        """The kernel for what this one cannot do."""
        return BlockKernel(self.most_scores)

    def forward(
        self, q: Array, k: Array, v: Array, q_meta: Meta, kv_meta: Meta
    ) -> tuple[Array, Array]:
        """See `flash.Kernel`."""
        if not self.own_keys or q_meta.order is not None:
            return self.fallback.forward(q, k, v, q_meta, kv_meta)
        n, segments = q.shape[2], pad_to_multiple(q_meta.segments, FORWARD, 1)
        q, k, v = (_positions_first(x) for x in (q, k, v))
        out, sums = triton.mha(  # pyright: ignore[reportGeneralTypeIssues]
            q,
            k,
            v,
            segments,
            sm_scale=q.shape[-1] ** -0.5,
            block_sizes=SIZES,
            interpret=self.interpret,
            return_residuals=True,
        )
        seen = (segments > 0)[:, None, :n]
        out = jnp.where(seen[..., None], out.swapaxes(1, 2)[:, :, :n], 0)
        # The kernel's logarithms are to the base 2.
        return out, jnp.where(seen, sums[:, :, :n] * LOG_2, NEGLIGIBLE)

    def backward(
        self,
        q: Array,
        k: Array,
        v: Array,
        q_meta: Meta,
        kv_meta: Meta,
        out: Array,
        sums: Array,
        d_out: Array,
    ) -> tuple[Array, Array, Array]:
        """See `flash.Kernel`."""
        if not self.own_keys or q_meta.order is not None:
            return self.fallback.backward(q, k, v, q_meta, kv_meta, out, sums, d_out)
        n, segments = q.shape[2], pad_to_multiple(q_meta.segments, FORWARD, 1)
        d_out = jnp.where((segments > 0)[:, None, :n, None], d_out, 0)
        scale = q.shape[-1] ** -0.5
        q, k, v, out, d_out = (_positions_first(x) for x in (q, k, v, out, d_out))
        # In the kernel padding sees padding: so large a sum makes its weights zero.
        sums = pad_to_multiple(sums / LOG_2, FORWARD, 2)
        sums = jnp.where((segments > 0)[:, None], sums, -NEGLIGIBLE)
        d_q, d_k, d_v, _ = triton._mha_backward(
            scale,
            False,
            SIZES,
            "triton",
            None,
            2,
            None,
            self.interpret,
            False,
            False,
            (q, k, v, segments, out, sums),
            d_out.astype(q.dtype),
        )
        d_q, d_k, d_v = (x.swapaxes(1, 2)[:, :, :n] for x in (d_q, d_k, d_v))
        return d_q, d_k, d_v


def _positions_first(x: Array) -> Array:
    return pad_to_multiple(x.swapaxes(1, 2), FORWARD, 1)

"""The kernel for TPUs: JAX's splash attention, by its forward and backward kernels.

Its public entry returns sums or is differentiable, never both, and a ring needs both;
so the kernels are called themselves. Their mask is empty: segments say what is seen.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.pallas.ops.tpu.splash_attention import (
    splash_attention_kernel as splash,
)
from jax.experimental.pallas.ops.tpu.splash_attention import (
    splash_attention_mask_info as mask_info,
)
from jaxtyping import Array

from sora_jax.nn.flash import NEGLIGIBLE, Meta, pad_to_multiple

LANES = 128
PARTS = 8  # partial gradients of the queries that are in memory at once
MOST_PADDING = 1.03  # of the padded length that the best tile has
NO_MASK = mask_info.MaskInfo(None, None, None, None, None)
LAYOUT = splash.QKVLayout.HEAD_DIM_MINOR
HIDDEN = float(-0.7 * jnp.finfo(jnp.float32).max)  # the score of a key not seen


@dataclasses.dataclass(frozen=True)
class SplashKernel:
    """Attends in tiles of at most `block_q` queries and `block_kv` keys."""

    block_q: int
    block_kv: int
    # For tests without a TPU.
    interpret: bool = False

    def forward(
        self, q: Array, k: Array, v: Array, q_meta: Meta, kv_meta: Meta
    ) -> tuple[Array, Array]:
        """See `flash.Kernel`."""
        refuse_order(q_meta, kv_meta)
        n, (q, k, v, ids, sizes) = q.shape[2], self._padded(q, k, v, q_meta, kv_meta)

        def one(q: Array, k: Array, v: Array, ids: splash.SegmentIds) -> tuple:
            out, (sums,) = splash._splash_attention_forward(
                NO_MASK,
                q,
                k,
                v,
                ids,
                sinks=None,
                mask_value=HIDDEN,
                is_mqa=False,
                block_sizes=splash.BlockSizes(*sizes, block_kv_compute=sizes[1]),
                residual_checkpoint_name=None,
                save_residuals=True,
                mask_function=None,
                interpret=self.interpret,
            )
            return out, sums

        out, sums = jax.vmap(one)(_scaled(q), k, v, ids)
        # For a query that sees no key the kernel returns the mean of all values.
        seen = sums[..., None] > NEGLIGIBLE
        out = jnp.where(seen, out, 0)
        return out[:, :, :n], jnp.maximum(sums[:, :, :n], NEGLIGIBLE)

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
        n, m = q.shape[2], k.shape[2]
        inner = jnp.einsum("bkne,bkne->bkn", out, d_out, preferred_element_type="f4")
        q, k, v, ids, (block_q, block_kv) = self._padded(q, k, v, q_meta, kv_meta)
        d_out, sums, inner = (
            pad_to_multiple(x, block_q, 2) for x in (d_out.astype(q.dtype), sums, inner)
        )
        shared = {
            "is_mqa": False,
            "mask_info": NO_MASK,
            "mask_value": HIDDEN,
            "attn_logits_soft_cap": None,
            "q_layout": LAYOUT,
            "k_layout": LAYOUT,
            "v_layout": LAYOUT,
            "mask_function": None,
            "interpret": self.interpret,
        }

        def one(q, k, v, ids, sums, d_out, inner) -> tuple[Array, Array, Array]:
            parts: Any = splash._splash_attention_bwd_dkv(
                *(q, k, v, ids, None, sums, d_out, inner),
                bq=block_q,
                bkv=block_kv,
                bkv_compute=block_kv,
                use_fused_bwd_kernel=True,
                **shared,
            )
            return parts

        # One kernel gives all gradients; that of the queries comes in parts, one for
        # each tile of keys. Groups of tiles in turn bound the parts in memory.
        tiles = k.shape[2] // block_kv
        groups = min(
            g for g in range(1, tiles + 1) if not tiles % g and tiles <= g * PARTS
        )
        q = _scaled(q)

        def some(d_q: Array, keys: tuple[Array, Array, Array]) -> tuple[Array, tuple]:
            k, v, kv_ids = keys
            seen = splash.SegmentIds(q=ids.q, kv=kv_ids)
            part, d_k, d_v = jax.vmap(one)(q, k, v, seen, sums, d_out, inner)
            return d_q + part.astype(jnp.float32), (d_k, d_v)

        keys = (
            _parted(k, groups, 2),
            _parted(v, groups, 2),
            _parted(ids.kv, groups, 1),
        )
        d_q, grads = jax.lax.scan(some, jnp.zeros(q.shape, jnp.float32), keys)
        d_k, d_v = (jnp.concatenate(jnp.unstack(x), axis=2)[:, :, :m] for x in grads)
        return _scaled(d_q.astype(q.dtype))[:, :, :n], d_k, d_v

    def _padded(
        self, q: Array, k: Array, v: Array, q_meta: Meta, kv_meta: Meta
    ) -> tuple[Array, Array, Array, splash.SegmentIds, tuple[int, int]]:
        """Pad everything to whole tiles; return it with the sizes of the tiles."""
        block_q = tile(q.shape[2], self.block_q)
        block_kv = tile(k.shape[2], self.block_kv)
        q_ids = pad_to_multiple(q_meta.segments, block_q, 1)
        ids = splash.SegmentIds(
            q=jnp.where(q_ids > 0, q_ids, -1),  # padding sees no padding
            kv=pad_to_multiple(kv_meta.segments, block_kv, 1),
        )
        k, v = (pad_to_multiple(x, block_kv, 2) for x in (k, v))
        return pad_to_multiple(q, block_q, 2), k, v, ids, (block_q, block_kv)


def tile(length: int, most: int) -> int:
    """The largest tile of at most a given size that needs little padding.

    A kernel of few large tiles is faster than one of many small ones.
    """
    options = range(LANES, most + 1, LANES)
    padded = {size: math.ceil(length / size) * size for size in options}
    bearable = MOST_PADDING * min(padded.values())
    return max(size for size in options if padded[size] <= bearable)


def refuse_order(*metas: Meta) -> None:
    """Refuse `order`, which the kernel does not support."""
    if any(meta.order is not None for meta in metas):
        raise ValueError(
            "attention.kernel 'splash' does not support order: omit it, or set "
            "attention.kernel to 'xla'"
        )


def _parted(x: Array, groups: int, axis: int) -> Array:
    """Cut an axis into groups, along a new first axis."""
    return jnp.stack(jnp.split(x, groups, axis=axis))


def _scaled(x: Array) -> Array:
    """Scale queries or their gradients, since the kernel does not."""
    return x * jnp.asarray(x.shape[-1] ** -0.5, x.dtype)

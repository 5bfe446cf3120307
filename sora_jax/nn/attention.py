"""Attention over packed rows: one entry for every kernel, length and mesh.

Queries and keys may have different lengths and segments, so self-attention and
cross-attention are the same call. Config and mesh plan say how it is computed, never
what: with all scores in memory for short rows, else by a kernel that stores none.

Where the mesh splits tokens, every device holds a stretch of them. Ulysses (Jacobs et
al. 2023) exchanges heads for tokens, so that a device sees all tokens of a few heads;
a ring (see `flash`) sends keys around; with both, groups that exchange form a ring.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from sora_jax.config import AttentionPlan
from sora_jax.nn.flash import Kernel, Meta, flash, visible
from sora_jax.nn.flash_blocks import BlockKernel
from sora_jax.nn.flash_splash import SplashKernel
from sora_jax.nn.flash_triton import TritonKernel
from sora_jax.nn.kv_cache import KVCache
from sora_jax.nn.precision import wide_dtype
from sora_jax.sharding import SINGLE_DEVICE, MeshPlan

DEFAULT_PLAN = AttentionPlan()
BY_PLATFORM = {"tpu": "splash", "gpu": "triton"}


def attention(
    q: Float[Array, "b n k e"],
    k: Float[Array, "b m k e"],
    v: Float[Array, "b m k e"],
    q_meta: Meta,
    kv_meta: Meta,
    plan: AttentionPlan = DEFAULT_PLAN,
    mesh_plan: MeshPlan = SINGLE_DEVICE,
    *,
    is_self: bool = False,
    cache: KVCache | None = None,
) -> Float[Array, "b n k e"]:
    """Softmax attention inside segments; softmax at least in float32.

    A query that sees no key (padding) returns zeros.

    Args:
      q: queries.
      k: keys.
      v: values.
      q_meta: segments and order of the queries.
      kv_meta: those of the keys.
      plan: the kernel and its tiles.
      mesh_plan: how devices share batch, heads and tokens.
      is_self: whether keys and queries are the same tokens, with the same sharding;
        else keys are replicated.
      cache: keys and values of earlier tokens, which are attended to like `k` and `v`.

    Raises:
      ValueError: the mesh does not divide the heads, or the kernel does not support
        `order`.
    """
    if cache is not None:
        k, v, kv_meta = cache.append(k, v, kv_meta)
    b, n, heads, _ = q.shape
    m = k.shape[1]
    shares = mesh_plan.size("tokens") if is_self else 1
    is_split = shares > 1 and n % shares == 0 and m % shares == 0
    if not is_split and b * n * heads * m <= plan.most_scores * mesh_plan.size("batch"):
        return attend(q, k, v, visible(q_meta, kv_meta))
    q, k, v = (x.swapaxes(1, 2) for x in (q, k, v))
    local = partial(
        attend_locally,
        plan=plan,
        platform=mesh_plan.platform,
        own_keys=is_self and cache is None,
        ring=mesh_plan.ring_axis if is_split else None,
        ulysses=mesh_plan.ulysses_axis if is_split else None,
    )
    if mesh_plan.is_sharded:
        keys = "tokens" if is_split else None
        specs = [
            mesh_plan.spec(("batch", "heads", axis, None), x.shape)
            for axis, x in (("tokens", q), (keys, k), (keys, v))
        ]
        metas = [
            mesh_plan.spec(("batch", axis), meta.segments.shape)
            for axis, meta in (("tokens", q_meta), (keys, kv_meta))
        ]
        local = jax.shard_map(
            local,
            mesh=mesh_plan.mesh,
            in_specs=(*specs, *metas),
            out_specs=specs[0],
            check_vma=False,
        )
    return local(q, k, v, q_meta, kv_meta).swapaxes(1, 2)


def choose_kernel(
    plan: AttentionPlan, platform: str, *, own_keys: bool, has_order: bool
) -> Kernel:
    """Return the kernel of a plan; "auto" selects the platform's.

    Args:
      plan: names the kernel.
      platform: to compile for.
      own_keys: whether keys and queries are the same tokens.
      has_order: whether keys are masked by order, which only "xla" supports.
    """
    name = plan.kernel
    if name == "auto":
        name = "xla" if has_order else BY_PLATFORM.get(platform, "xla")
    if name == "splash":
        return SplashKernel(plan.block_q, plan.block_kv, plan.interpret)
    if name == "triton":
        return TritonKernel(own_keys, plan.most_scores, plan.interpret)
    return BlockKernel(plan.most_scores)


def attend_locally(
    q: Float[Array, "b k n e"],
    k: Float[Array, "b k m e"],
    v: Float[Array, "b k m e"],
    q_meta: Meta,
    kv_meta: Meta,
    *,
    plan: AttentionPlan,
    platform: str,
    own_keys: bool,
    ring: str | None,
    ulysses: str | None,
) -> Float[Array, "b k n e"]:
    """Attend on one device, with communication along ring and Ulysses axes."""
    if ulysses is not None:
        size = jax.lax.axis_size(ulysses)
        if q.shape[1] % size:
            raise ValueError(
                f"mesh.ulysses must divide the {q.shape[1]} heads of a device, got "
                f"{size}: lower it (mesh.context may stay, and keys go around a ring)"
            )
        trade = partial(jax.lax.all_to_all, axis_name=ulysses, tiled=True)
        q, k, v = (trade(x, split_axis=1, concat_axis=2) for x in (q, k, v))
        gather = partial(jax.lax.all_gather, axis_name=ulysses, axis=1, tiled=True)
        q_meta, kv_meta = jax.tree.map(gather, (q_meta, kv_meta))
    kernel = choose_kernel(
        plan,
        platform,
        own_keys=own_keys and ring is None,
        has_order=q_meta.order is not None,
    )
    out: Array = flash(q, k, v, q_meta, kv_meta, kernel, ring)
    if ulysses is not None:
        out = trade(out, split_axis=2, concat_axis=1)
    return out


def attend(
    q: Float[Array, "b n k e"],
    k: Float[Array, "b m k e"],
    v: Float[Array, "b m k e"],
    mask: Bool[Array, "b n m"],
) -> Float[Array, "b n k e"]:
    """Attention with all scores in memory."""
    exact = wide_dtype(q.dtype)
    scores = jnp.einsum("bnke,bmke->bknm", q, k, preferred_element_type=exact)
    # A finite floor: rows without any visible key stay finite in value and gradient.
    scores = jnp.where(mask[:, None], scores * q.shape[-1] ** -0.5, -1e30)
    weights = jax.nn.softmax(scores, axis=-1)
    weights = jnp.where(mask[:, None], weights, 0.0).astype(v.dtype)
    return jnp.einsum("bknm,bmke->bnke", weights, v)


def split_heads(x: Float[Array, "b n d"], heads: int) -> Float[Array, "b n k e"]:
    """Give each head its channels."""
    return x.reshape(*x.shape[:2], heads, -1)


def merge_heads(x: Float[Array, "b n k e"]) -> Float[Array, "b n d"]:
    """Undo `split_heads`."""
    return x.reshape(*x.shape[:2], -1)

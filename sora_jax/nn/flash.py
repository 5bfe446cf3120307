"""Attention that stores no scores, over keys that may lie on other devices.

A kernel attends to a block of keys, and returns its output and the log-sum-exp of its
scores. Outputs over several blocks merge exactly (Rabe and Staats 2021), so blocks of
keys can travel around a ring of devices while queries stay (Liu et al. 2023). In the
backward pass keys travel again, and their gradients with them.

Arrays are `[b k n e]`, heads before positions, as kernels want them.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float, Int

from sora_jax.nn.precision import wide

# Names that a remat policy saves, so that the backward pass attends only once.
SAVED = ("attention_out", "attention_sums")
NEGLIGIBLE = -1e30  # the log-sum-exp over no key
Keys: TypeAlias = Any  # (k, v, meta), a block that is sent around the ring


class Meta(NamedTuple):
    """Segment and order of each position; PartitionSpecs of both have the same form.

    Attributes:
      segments: a query sees keys of its own segment only; 0 is padding, unseen.
      order: a query sees no key of a later order; without an order it sees all.
    """

    segments: Int[Array, "b n"]
    order: Int[Array, "b n"] | None = None


@runtime_checkable  # since the tests check types at run time
class Kernel(Protocol):
    """A way to attend to one block of keys."""

    def forward(
        self, q: Array, k: Array, v: Array, q_meta: Meta, kv_meta: Meta
    ) -> tuple[Float[Array, "b k n e"], Float[Array, "b k n"]]:
        """Return the output over these keys, and the log-sum-exp of their scores."""
        ...

    def backward(
        self,
        q: Array,
        k: Array,
        v: Array,
        q_meta: Meta,
        kv_meta: Meta,
        out: Float[Array, "b k n e"],
        sums: Float[Array, "b k n"],
        d_out: Float[Array, "b k n e"],
    ) -> tuple[Array, Array, Array]:
        """Return gradients of q, k and v, given output and sums over all keys."""
        ...


@partial(jax.custom_vjp, nondiff_argnums=(5, 6))
def flash(
    q: Float[Array, "b k n e"],
    k: Float[Array, "b k m e"],
    v: Float[Array, "b k m e"],
    q_meta: Meta,
    kv_meta: Meta,
    kernel: Kernel,
    ring: str | None = None,
) -> Float[Array, "b k n e"]:
    """Attend; with a ring, to the keys of every device along that mesh axis."""
    return _forward(q, k, v, q_meta, kv_meta, kernel, ring)[0]


def _forward(
    q: Array,
    k: Array,
    v: Array,
    q_meta: Meta,
    kv_meta: Meta,
    kernel: Kernel,
    ring: str | None,
) -> tuple[Array, Array]:
    if ring is None:
        return kernel.forward(q, k, v, q_meta, kv_meta)

    def attend(keys: Keys) -> tuple[Array, Array]:
        k, v, meta = keys
        out, sums = kernel.forward(q, k, v, q_meta, meta)
        return wide(out), sums

    def hop(carry: Any, _: None) -> tuple[Any, None]:
        keys, out, sums = carry
        arriving = send_on(keys, ring)  # while these keys are attended to
        out, sums = merge((out, sums), attend(keys))
        return (arriving, out, sums), None

    own = (send_on((k, v, kv_meta), ring), *attend((k, v, kv_meta)))
    hops = jax.lax.axis_size(ring) - 2
    (keys, *parts), _ = jax.lax.scan(hop, own, None, length=hops)
    out, sums = merge(tuple(parts), attend(keys))  # the last block is not sent on
    return out.astype(q.dtype), sums


def _forward_rule(
    q: Array, k: Array, v: Array, q_meta: Meta, kv_meta: Meta, kernel: Any, ring: Any
) -> tuple[Array, tuple]:
    out, sums = _forward(q, k, v, q_meta, kv_meta, kernel, ring)
    out, sums = (
        checkpoint_name(x, name) for x, name in zip((out, sums), SAVED, strict=True)
    )
    return out, (q, k, v, q_meta, kv_meta, out, sums)


def _backward_rule(
    kernel: Kernel, ring: str | None, residuals: tuple, d_out: Array
) -> tuple[Array, Array, Array, None, None]:
    q, k, v, q_meta, kv_meta, out, sums = residuals

    def gradients(keys: Keys) -> tuple[Array, Array, Array]:
        k, v, meta = keys
        return kernel.backward(q, k, v, q_meta, meta, out, sums, d_out)

    if ring is None:
        return (*gradients((k, v, kv_meta)), None, None)

    def hop(carry: Any, is_last: bool) -> Any:
        keys, d_keys, d_q = carry
        arriving = keys if is_last else send_on(keys, ring)
        more_q, *more = gradients(keys)
        d_keys = jax.tree.map(jnp.add, d_keys, as_float(more))
        return arriving, send_on(d_keys, ring), d_q + as_float(more_q)

    zeros = jax.tree.map(jnp.zeros_like, as_float((q, [k, v])))
    own = ((k, v, kv_meta), zeros[1], zeros[0])
    hops = jax.lax.axis_size(ring) - 1
    carry, _ = jax.lax.scan(lambda c, _: (hop(c, False), None), own, None, hops)
    # After as many hops as there are devices, gradients are back with their keys.
    _, (d_k, d_v), d_q = hop(carry, True)
    return d_q.astype(q.dtype), d_k.astype(k.dtype), d_v.astype(v.dtype), None, None


flash.defvjp(_forward_rule, _backward_rule)


def as_float(tree: Any) -> Any:
    """Widen arrays to float32 at least, in which sums over hops are kept."""
    return jax.tree.map(wide, tree)


def send_on(tree: Any, ring: str) -> Any:
    """Send arrays to the next device of a ring."""
    size = jax.lax.axis_size(ring)
    step = [(i, (i + 1) % size) for i in range(size)]
    return jax.tree.map(lambda x: jax.lax.ppermute(x, ring, step), tree)


def merge(one: tuple[Array, ...], other: tuple[Array, ...]) -> tuple[Array, Array]:
    """Merge the outputs over two blocks of keys."""
    (out, sums), (more, added) = one, other
    total = jnp.logaddexp(sums, added)
    share = jnp.exp(sums - total)[..., None]
    share_added = jnp.exp(added - total)[..., None]
    return out * share + more * share_added, total


def visible(q_meta: Meta, kv_meta: Meta) -> Array:
    """Which keys each query sees: those of its segment, and of no later order."""
    query, key = q_meta.segments[:, :, None], kv_meta.segments[:, None, :]
    mask = (query == key) & (query > 0)
    if q_meta.order is not None and kv_meta.order is not None:
        mask &= kv_meta.order[:, None, :] <= q_meta.order[:, :, None]
    return mask


def pad_to_multiple(x: Array, unit: int, axis: int) -> Array:
    """Pad an axis with zeros (segment 0 is padding) to a multiple."""
    missing = math.ceil(x.shape[axis] / unit) * unit - x.shape[axis]
    padding = [(0, 0)] * x.ndim
    padding[axis] = (0, missing)
    return jnp.pad(x, padding) if missing else x

"""Several adapters at once, each with a strength, and changes of whole parameters."""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array

from sora_jax import sharding
from sora_jax.config import AdapterConfig
from sora_jax.nn.quantized import is_quantized
from sora_jax.weights import adapters
from sora_jax.weights.adapters import Adapter, Factors

M = TypeVar("M", bound=nnx.Module)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change:
    """What an adapter's file changes in a network.

    Attributes:
      factors: beside kernels, with their scale, by the kernels' paths.
      whole: what is added to whole parameters, by path.
    """

    factors: Mapping[str, Factors]
    whole: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)


def change_of(adapter: Adapter) -> Change:
    """Return an adapter with its scale in the factors."""
    scaled = {
        path: _scaled(factors, adapter.config.scale)
        for path, factors in adapter.factors.items()
    }
    return Change(factors=scaled)


def adapter_of(change: Change) -> Adapter:
    """Return the factors of a change as an adapter, of the scale 1."""
    rank = max((x.down.shape[-1] for x in change.factors.values()), default=1)
    targets = tuple(map(re.escape, change.factors)) or ("",)
    config = AdapterConfig(targets=targets, rank=rank, alpha=float(rank))
    return Adapter(config=config, factors=change.factors)


def total(changes: Sequence[tuple[Change, float]]) -> Change:
    """Add changes up, each with its strength; ranks of the same kernel add up too."""
    beside: dict[str, list[Factors]] = defaultdict(list)
    whole: dict[str, np.ndarray] = {}
    for change, strength in changes:
        for path, factors in change.factors.items():
            beside[path].append(_scaled(factors, strength))
        for path, value in change.whole.items():
            whole[path] = whole.get(path, 0) + np.float32(strength) * value
    factors = {path: _joined(group) for path, group in beside.items()}
    return Change(factors=factors, whole=whole)


def apply(model: M, change: Change, *, merged: bool) -> M:
    """Return a model with a change.

    Factors always have the scale 1: what is compiled for some serves for others of the
    same ranks.

    Args:
      model: which shares with the result what is not changed.
      change: what to add.
      merged: whether factors are added to kernels, or lie beside them.
    """
    model = adapters.copy_model(model)
    for path, parameter in nnx.to_flat_state(nnx.state(model)):
        if (value := change.whole.get("/".join(map(str, path)))) is not None:
            parameter.set_value(_added(parameter[...], value))
    if change.factors:
        model = adapters.insert(model, adapter_of(change))
    return adapters.merge(model) if merged else model


def _added(parameter: Array, value: np.ndarray) -> Array:
    def add(parameter: Array, value: Array) -> Array:
        return (parameter.astype(value.dtype) + value).astype(parameter.dtype)

    if is_quantized(parameter.dtype):
        raise ValueError(
            "the adapter changes whole kernels, which are in 8 bits: leave out "
            "quantization"
        )
    where = parameter.sharding
    return jax.jit(add, out_shardings=where)(parameter, sharding.place(value, where))


def _scaled(factors: Factors, scale: float) -> Factors:
    return factors if scale == 1 else Factors(down=factors.down, up=scale * factors.up)


def _joined(group: Sequence[Factors]) -> Factors:
    """Lay factors side by side, whose products then add up."""
    if len(group) == 1:
        return group[0]
    return Factors(
        down=jnp.concatenate([x.down for x in group], axis=-1),
        up=jnp.concatenate([x.up for x in group], axis=group[0].down.ndim - 2),
    )

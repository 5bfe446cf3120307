"""Adapters (LoRA): low-rank factors beside kernels, for any model built of `Linear`.

With factors, a linear map is kernel + alpha / rank * down @ up (LoRA, Hu et al.,
arXiv 2106.09685). They are parameters of the type `LoRAParam` at paths that end in
lora_down and lora_up, so a filter by type or by path chooses what is trained. Stacked
layers have stacked factors, and factors lie on a mesh as the kernel's axes do.

Every function returns a new model, which shares all other parameters with its
argument.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax.core import Tracer
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from sora_jax import sharding
from sora_jax.config import AdapterConfig
from sora_jax.nn.layers import Linear, LoRAParam
from sora_jax.nn.parameters import is_float32

M = TypeVar("M", bound=nnx.Module)
SHOWN = 8  # paths in an error


@dataclasses.dataclass(frozen=True, kw_only=True)
class Factors:
    """The factors beside one kernel; stacked layers are the leading axis of both."""

    down: Float[Array, "*layers features rank"]
    up: Float[Array, "..."]  # [*layers rank *features_out]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adapter:
    """An adapter outside a model: its config, and factors by the kernels' paths."""

    config: AdapterConfig
    factors: Mapping[str, Factors]


def linears(model: nnx.Module) -> dict[str, Linear]:
    """Return the linear layers of a model by path, as "blocks/self_attention/qkv"."""
    return {
        "/".join(map(str, path)): module
        for path, module in nnx.iter_modules(model)
        if isinstance(module, Linear)
    }


def target_linears(model: nnx.Module, config: AdapterConfig) -> dict[str, Linear]:
    """Return the linear layers that an adapter's targets match.

    Raises:
      ValueError: a target matches none; names it, and some existing paths.
    """
    found = linears(model)
    targets = [re.compile(target) for target in config.targets]
    for target in targets:
        if not any(map(target.fullmatch, found)):
            raise ValueError(
                f"adapter.targets must match linear layers of the model, and "
                f"{target.pattern!r} matches none; there are "
                f"{', '.join(sorted(found)[:SHOWN])} and so on"
            )
    return {
        path: linear
        for path, linear in found.items()
        if any(target.fullmatch(path) for target in targets)
    }


def factor_shapes(linear: Linear, rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shapes of the factors beside a kernel."""
    kernel = linear.kernel.shape
    layers = len(kernel) - len(linear.axes)
    stack, features, out = kernel[:layers], kernel[layers], kernel[layers + 1 :]
    return (*stack, features, rank), (*stack, rank, *out)


def attach(model: M, config: AdapterConfig, rngs: nnx.Rngs) -> M:
    """Add initial factors to a model, which do not change its output.

    Raises:
      ValueError: a target matches no linear layer, or the model has factors already.
    """

    def draw(linear: Linear) -> Factors:
        down, up = factor_shapes(linear, config.rank)
        bound = down[-2] ** -0.5
        drawn = jax.random.uniform(rngs.params(), down, minval=-bound, maxval=bound)
        return Factors(down=drawn, up=jnp.zeros(up))

    found = target_linears(model, config)
    factors = {path: draw(linear) for path, linear in found.items()}
    return insert(model, Adapter(config=config, factors=factors))


def insert(model: M, adapter: Adapter) -> M:
    """Add the factors of an adapter to a model.

    Raises:
      ValueError: shapes do not match, or the model has factors already.
    """
    model = copy_model(model)
    found = linears(model)
    if taken := [path for path, x in found.items() if x.lora_down is not None]:
        raise ValueError(
            f"the model has an adapter already, beside {', '.join(taken[:SHOWN])}: "
            "merge or detach it first"
        )
    for path, factors in adapter.factors.items():
        if path not in found:
            raise ValueError(
                f"adapter: the model has no linear map {path!r}; use it with the model "
                "that it was trained on"
            )
        linear = found[path]
        expected = factor_shapes(linear, factors.down.shape[-1])
        given = (factors.down.shape, factors.up.shape)
        if given != expected:
            raise ValueError(
                f"adapter: the factors of {path} must have the shapes {expected}, got "
                f"{given}; use it with the model that it was trained on"
            )
        _set(linear, factors, adapter.config.scale)
    return model


def extract(model: nnx.Module, config: AdapterConfig) -> Adapter:
    """Return the adapter of a model, attached with this config.

    Raises:
      ValueError: the model has none.
    """
    factors = {
        path: Factors(down=linear.lora_down[...], up=linear.lora_up[...])
        for path, linear in linears(model).items()
        if linear.lora_down is not None and linear.lora_up is not None
    }
    if not factors:
        raise ValueError("the model has no adapter: attach or insert one")
    return Adapter(config=config, factors=factors)


def detach(model: M) -> M:
    """Remove the factors of a model."""
    model = copy_model(model)
    for linear in linears(model).values():
        if linear.lora_down is not None:
            del linear.lora_down, linear.lora_up, linear.lora_scale
    return model


def merge(model: M) -> M:
    """Add the factors' products to the kernels, and remove the factors."""
    merged = detach(model)
    into = linears(merged)
    for path, linear in linears(model).items():
        if linear.lora_down is not None and linear.lora_up is not None:
            factors = Factors(down=linear.lora_down[...], up=linear.lora_up[...])
            _add(into[path], factors, linear.lora_scale)
    return merged


def unmerge(model: M, adapter: Adapter) -> M:
    """Undo `merge`, up to rounding in the kernels' dtype."""
    model = insert(model, adapter)
    for path, factors in adapter.factors.items():
        _add(linears(model)[path], factors, -adapter.config.scale)
    return model


def copy_model(model: M) -> M:
    """Copy the modules and variables of a model, but not its arrays."""
    return jax.tree.map(lambda x: x, model)


def _set(linear: Linear, factors: Factors, scale: float) -> None:
    first, *others = linear.axes
    lie = _shardings(linear)
    for name, value, axes, where in zip(
        ("lora_down", "lora_up"),
        (factors.down, factors.up),
        ((first, None), (None, *others)),
        lie,
        strict=True,
    ):
        if where is not None:
            value = sharding.place(value, where)
        exact = is_float32(linear.dtype)
        param = LoRAParam(
            value, axes=axes, optimizer_group="hidden", keep_float32=exact
        )
        setattr(linear, name, param)
    linear.lora_scale = scale


def _shardings(linear: Linear) -> tuple[NamedSharding | None, NamedSharding | None]:
    """Return the shardings of factors: their kernel's axes, and the rank replicated."""
    kernel = linear.kernel[...]
    if isinstance(kernel, Tracer) or not isinstance(kernel, jax.Array):
        return None, None
    if not isinstance(kernel.sharding, NamedSharding):
        return None, None
    mesh, spec = kernel.sharding.mesh, kernel.sharding.spec
    axes = (*spec, *(None,) * (kernel.ndim - len(spec)))
    layers = kernel.ndim - len(linear.axes)
    down = PartitionSpec(*axes[: layers + 1], None)
    up = PartitionSpec(*axes[:layers], None, *axes[layers + 1 :])
    return NamedSharding(mesh, down), NamedSharding(mesh, up)


def _add(linear: Linear, factors: Factors, scale: float) -> None:
    """Add the product of factors to a kernel, layer by layer."""

    def one(kernel: Array, down: Array, up: Array) -> Array:
        product = jnp.tensordot(down, up, axes=1)
        return (kernel.astype(product.dtype) + scale * product).astype(kernel.dtype)

    def stack(kernel: Array, down: Array, up: Array) -> Array:
        return jax.lax.map(lambda layer: one(*layer), (kernel, down, up))

    kernel = linear.kernel[...]
    function = stack if kernel.ndim > len(linear.axes) else one
    added = jax.jit(function, out_shardings=kernel.sharding)
    linear.kernel.set_value(added(kernel, factors.down, factors.up))

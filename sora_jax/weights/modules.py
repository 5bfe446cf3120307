"""Modules as nested dicts of parameters, or as shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
from flax import nnx

PureDict = Mapping[Any, Any]  # nested, with arrays or their shapes as leaves


def parameters(module: nnx.Module) -> dict[str, Any]:
    """Return the parameters of a module as nested dicts."""
    return nnx.to_pure_dict(nnx.state(module))


def abstract_of(
    make: Callable[[nnx.Rngs], nnx.Module],
) -> tuple[nnx.GraphDef, dict[str, Any]]:
    """Return a module's graph definition and parameter shapes, without allocating."""
    graphdef, state = nnx.split(nnx.eval_shape(lambda: make(nnx.Rngs(0))))
    # Without the shardings that an active mesh would add.
    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), nnx.to_pure_dict(state)
    )
    return graphdef, shapes


def flatten(node: PureDict, prefix: str = "") -> dict[str, Any]:
    """Flatten nested dicts to paths with slashes."""
    flat: dict[str, Any] = {}
    for key, child in node.items():
        name = f"{prefix}{key}"
        if "/" in str(key):
            raise ValueError(f"parameter name {name!r} must not contain '/' in a key")
        if isinstance(child, Mapping):
            flat |= flatten(child, f"{name}/")
        else:
            flat[name] = child
    return flat

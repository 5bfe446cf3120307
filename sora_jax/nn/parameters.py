"""The metadata of an `nnx.Param`.

axes: the logical names of its axes, from which `sora_jax.sharding` places it.
optimizer_group: how an optimizer may move it. "hidden" is the matrix of a hidden
  layer, or a stack of them (..., in, ..., out); "hidden_filters" the filters of a
  hidden convolution (..., in, out); "outer" a matrix that touches data, noise levels
  or latents. Biases, scales and other vectors have none, and never decay.
keep_float32: whether it is computed with in float32, whatever the rest of its network
  is computed in, and therefore stays in float32 where others are held in less.
"""

from __future__ import annotations

from typing import Any, Literal

import jax.numpy as jnp
from flax import nnx
from flax.traverse_util import unflatten_dict
from jax.typing import DTypeLike

OptimizerGroup = Literal["hidden", "hidden_filters", "outer"]


def is_float32(dtype: DTypeLike) -> bool:
    """Whether a layer that computes in this type computes at least in float32."""
    return jnp.dtype(dtype).itemsize >= 4


def metadata(module: nnx.Module, name: str, default: Any = None) -> dict[str, Any]:
    """One item of every parameter's metadata, as nested dicts like the parameters."""
    state = nnx.to_flat_state(nnx.state(module))
    return unflatten_dict(
        {path: leaf.get_metadata().get(name, default) for path, leaf in state}
    )

"""Kernels in 8 bits with a scale for each output: half the memory of bfloat16.

Only weights are quantised; activations stay in the layer's dtype, and kernels are
brought to it as they are used. Symmetric, by the largest value of each output.
"""

from __future__ import annotations

import functools
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Float, Shaped

from sora_jax.config.dtypes import Quantization
from sora_jax.nn.layers import Linear

M = TypeVar("M", bound=nnx.Module)
DTYPES = {"int8": jnp.dtype(jnp.int8), "fp8": jnp.dtype(jnp.float8_e4m3fn)}
LARGEST = {DTYPES["int8"]: np.float32(127), DTYPES["fp8"]: np.float32(448)}


def quantize_kernel(
    kernel: Float[Any, "in *out"], dtype: DTypeLike
) -> tuple[Shaped[Any, "in *out"], Float[Any, "*out"]]:
    """Round a kernel to 8 bits; an array of NumPy or of JAX.

    Returns:
      The rounded kernel, and the scales that it is to be multiplied by.
    """
    xp = kernel.__array_namespace__()
    largest = xp.max(xp.abs(kernel.astype(np.float32)), axis=0)
    scale = xp.where(largest > 0, largest, np.float32(1)) / LARGEST[jnp.dtype(dtype)]
    small = kernel.astype(np.float32) / scale[None]
    if jnp.issubdtype(dtype, jnp.integer):
        small = xp.round(small)
    return small.astype(dtype), scale


def quantize(model: M, kind: Quantization) -> M:
    """Return a model whose layers' linear maps are in 8 bits; others are shared.

    Maps outside of the layers (embeddings, modulation, head) stay as they are: they are
    small, and touch noise levels and latents.
    """
    if kind == "none":
        return model
    model = jax.tree.map(lambda x: x, model)
    rounded = functools.partial(quantize_kernel, dtype=DTYPES[kind])
    for _, module in nnx.iter_modules(model):
        if isinstance(module, Linear) and is_stacked(module):
            param = module.kernel
            told = param.get_metadata()
            small, scale = jax.lax.map(rounded, param[...])
            module.kernel = nnx.Param(small, **told)
            axes = module.axes[1:]
            module.kernel_scale = nnx.Param(scale, axes=axes, keep_float32=True)
    return model


def is_quantized(dtype: DTypeLike) -> bool:
    """Return whether a dtype is that of a quantised kernel."""
    return jnp.dtype(dtype) in DTYPES.values()


def is_stacked(linear: Linear) -> bool:
    """Return whether a linear map holds those of several layers."""
    return linear.kernel.ndim == len(linear.axes) + 1

"""Linear maps, norms and embeddings: arrays in, arrays out, parameters inside.

Every parameter carries the logical names of its axes (`axes=`), from which
`sora_jax.sharding` derives its placement; a layer never names a mesh axis.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sora_jax.nn.parameters import OptimizerGroup, is_float32
from sora_jax.nn.precision import wide
from sora_jax.sharding import SINGLE_DEVICE, MeshPlan

Initializer = Callable[..., Array]
# Checkpoint name of a gathered kernel: the backward pass gathers it again.
GATHERED = "gathered"

zeros = nnx.initializers.zeros
xavier = nnx.initializers.xavier_uniform()
lecun = nnx.initializers.lecun_normal()


def normal(stddev: float) -> Initializer:
    """Gaussian initializer of a given standard deviation."""
    return nnx.initializers.normal(stddev)


def gelu(x: Array) -> Array:
    """GELU in its tanh form, as Wan and umT5 use it."""
    return jax.nn.gelu(x, approximate=True)


def matmul(x: Array, kernel: Array, mesh_plan: MeshPlan = SINGLE_DEVICE) -> Array:
    """Multiply the last axis of `x` by the first of `kernel`.

    The gradient of a dot with several leading axes contracts them all at once, which
    XLA:CPU runs four times slower than the gradient of a product of two matrices. Where
    devices share leading axes these stay apart: merged, they could not be shared.
    """
    if mesh_plan.devices > 1:
        return jnp.tensordot(x, kernel, axes=1)
    flat = x.reshape(-1, x.shape[-1]) @ kernel.reshape(kernel.shape[0], -1)
    return flat.reshape(*x.shape[:-1], *kernel.shape[1:])


class LoRAParam(nnx.Param):
    """A factor of an adapter."""


class Linear(nnx.Module):
    """An affine map of the last axis, computed in `dtype`.

    An adapter (`sora_jax.weights.adapters`) may set two factors of low rank beside the
    kernel: it then maps by kernel + lora_scale * lora_down @ lora_up. A kernel in 8
    bits has a scale for each output (`sora_jax.nn.quantized`).
    """

    kernel_scale: nnx.Param | None = None
    lora_down: LoRAParam | None = None
    lora_up: LoRAParam | None = None
    lora_scale: float = 1.0

    def __init__(
        self,
        features_in: int,
        features_out: int | tuple[int, ...],
        *,
        axes: tuple[str | None, ...],
        rngs: nnx.Rngs,
        dtype: DTypeLike = jnp.float32,
        use_bias: bool = True,
        init: Initializer = xavier,
        optimizer_group: OptimizerGroup = "hidden",
    ):
        shape = (features_out,) if isinstance(features_out, int) else features_out
        # A fused projection is initialised as the several matrices that it stands for.
        groups = math.prod(shape[:-1])
        keys = jax.random.split(rngs.params(), groups)
        kernel = jax.vmap(lambda key: init(key, (features_in, shape[-1])))(keys)
        kernel = jnp.moveaxis(kernel, 0, 1).reshape(features_in, *shape)
        exact = is_float32(dtype)
        self.kernel = nnx.Param(
            kernel, axes=axes, optimizer_group=optimizer_group, keep_float32=exact
        )
        self.bias = (
            nnx.Param(jnp.zeros(shape), axes=axes[1:], keep_float32=exact)
            if use_bias
            else None
        )
        self.axes, self.dtype = axes, dtype

    def __call__(
        self, x: Float[Array, "... c"], mesh_plan: MeshPlan = SINGLE_DEVICE
    ) -> Float[Array, ...]:
        """Map the last axis."""
        kernel = self.kernel[...]
        if self.kernel_scale is None:  # 8 bits are gathered as they are
            kernel = kernel.astype(self.dtype)
        kernel = checkpoint_name(mesh_plan.gather(kernel, self.axes), GATHERED)
        kernel = kernel.astype(self.dtype)
        y = matmul(x.astype(self.dtype), kernel, mesh_plan)
        if self.kernel_scale is not None:
            y = y * rank(self.kernel_scale[...].astype(self.dtype), y.ndim)
        if self.lora_down is not None and self.lora_up is not None:
            y = y + self._low_rank(
                x.astype(self.dtype), self.lora_down, self.lora_up, mesh_plan
            )
        if self.bias is None:
            return y
        return y + rank(self.bias[...].astype(self.dtype), y.ndim)

    def _low_rank(
        self, x: Array, down: LoRAParam, up: LoRAParam, mesh_plan: MeshPlan
    ) -> Array:
        """What an adapter adds; its factors lie like the axes of the kernel."""
        for factor, axes in (
            (down, (self.axes[0], None)),
            (up, (None, *self.axes[1:])),
        ):
            value = mesh_plan.gather(factor[...].astype(self.dtype), axes)
            x = matmul(x, checkpoint_name(value, GATHERED), mesh_plan)
        return self.lora_scale * x


class RMSNorm(nnx.Module):
    """Root-mean-square norm over the last axis, at least in float32."""

    def __init__(self, features: int, *, axis: str | None = None, eps: float = 1e-6):
        self.scale = nnx.Param(jnp.ones(features), axes=(axis,), keep_float32=True)
        self.eps = eps

    def __call__(self, x: Float[Array, "*b c"]) -> Float[Array, "*b c"]:
        """Scale to unit mean square."""
        x32 = wide(x)
        mean_square = jnp.mean(jnp.square(x32), axis=-1, keepdims=True)
        normed = x32 * jax.lax.rsqrt(mean_square + self.eps)
        return (normed * rank(self.scale[...], x.ndim)).astype(x.dtype)


class LayerNorm(nnx.Module):
    """Affine layer norm over the last axis, at least in float32."""

    def __init__(self, features: int, *, axis: str | None = None, eps: float = 1e-6):
        self.scale = nnx.Param(jnp.ones(features), axes=(axis,), keep_float32=True)
        self.bias = nnx.Param(jnp.zeros(features), axes=(axis,), keep_float32=True)
        self.eps = eps

    def __call__(self, x: Float[Array, "*b c"]) -> Float[Array, "*b c"]:
        """Shift and scale to zero mean and unit variance."""
        y = standardize(x, self.eps) * rank(self.scale[...], x.ndim)
        return y + rank(self.bias[...], x.ndim)


def rank(x: Array, ndim: int) -> Array:
    """Give an array leading axes of length one: JAX is told not to promote ranks."""
    return x.reshape((1,) * (ndim - x.ndim) + x.shape)


def standardize(x: Float[Array, "*b c"], eps: float = 1e-6) -> Float[Array, "*b c"]:
    """Layer norm without parameters; the result is at least float32."""
    x32 = wide(x)
    mean = jnp.mean(x32, axis=-1, keepdims=True)
    variance = jnp.mean(jnp.square(x32 - mean), axis=-1, keepdims=True)
    return (x32 - mean) * jax.lax.rsqrt(variance + eps)


def sinusoid(t: Float[Array, "*b"], features: int) -> Float[Array, "*b c"]:
    """Sinusoidal embedding, cosines first, base 10000 (Vaswani et al. 2017)."""
    half = features // 2
    t = wide(t)
    frequency = jnp.exp(-jnp.log(10000.0) * jnp.arange(half, dtype=t.dtype) / half)
    angle = t[..., None] * rank(frequency, t.ndim + 1)
    return jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=-1)

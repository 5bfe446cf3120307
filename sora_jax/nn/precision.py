"""Computing in float32 at least, where bfloat16 would round too much.

That is sums over many terms (norms, softmax, merged attention) and the arguments of
sines (times, angles). Whole programs may run in float64: two ways of computing are then
seen to be the same, or not, without rounding in between.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array


def wide_dtype(dtype: DTypeLike) -> jnp.dtype:
    """Return float32, or a dtype that is more exact."""
    return jnp.promote_types(dtype, jnp.float32)


def wide(x: Array) -> Array:
    """Cast an array to float32, unless it is more exact."""
    return x.astype(wide_dtype(x.dtype))


def compute_dtype(name: str) -> jnp.dtype:
    """Return a configured dtype.

    "auto" is float32 here: what computes in less is resolved for its platform before
    (`config.resolve_dtypes`), as a network does not ask where it will run.

    Raises:
      ValueError: float64 is asked for, and JAX was not told to keep it.
    """
    if name == "auto":
        name = "float32"
    if name == "float64" and not jax.config.read("jax_enable_x64"):
        raise ValueError(
            "dtype must be auto, bfloat16 or float32 where JAX keeps no float64, got "
            "'float64': set JAX_ENABLE_X64=1"
        )
    return jnp.dtype(name)

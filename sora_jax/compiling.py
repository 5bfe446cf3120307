"""XLA compiler options for each platform."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax

from sora_jax.sharding import MeshPlan

# XLA:TPU would turn a matmul with gathered parameters into a loop that passes shards
# around: more traffic, more steps, and three times the compile time. Instead,
# parameters are gathered layer by layer, overlapping with the layer before.
TPU = {"xla_jf_spmd_threshold_for_windowed_einsum_mib": 1_000_000}
# oneDNN multiplies matrices for XLA:CPU, and may round the inputs to bfloat16 if
# `runtime.set_cpu_matmul_dtype` allows it; sums and everything else stay float32.
ONEDNN_ON_CPU = {
    "xla_cpu_use_onednn": True,
    "xla_cpu_experimental_onednn_fusion_type": (
        "LIBRARY_FUSION_TYPE_DOT,LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"
    ),
}
# XLA:CPU cannot slice bfloat16, converts it to float32, and moves that out of the loop
# over layers: then a whole network is there in float32 too. With this pass switched
# off, layers are converted one by one.
HALF_ON_CPU = {"xla_disable_hlo_passes": "while-loop-invariant-code-motion"}


def options(
    platform: str, *, in_half: bool = False, cpu_matmul_dtype: str = "float32"
) -> dict[str, Any] | None:
    """Compiler options.

    Args:
      platform: "cpu", "gpu" or "tpu".
      in_half: whether parameters may be in half precision.
      cpu_matmul_dtype: to which matmul inputs are rounded on a CPU.
    """
    if platform == "tpu":
        return TPU
    if platform != "cpu":
        return None
    rounded = ONEDNN_ON_CPU if cpu_matmul_dtype == "bfloat16" else {}
    return rounded | (HALF_ON_CPU if in_half else {}) or None


def jit(**arguments: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Do as `jax.jit`, for weights in half precision.

    The function has a keyword `mesh_plan`, whose platform selects the options.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.cache
        def compiled(platform: str) -> Callable[..., Any]:
            chosen = options(platform, in_half=True)
            return jax.jit(function, compiler_options=chosen, **arguments)

        @functools.wraps(function)
        def call(*args: Any, mesh_plan: MeshPlan, **kwargs: Any) -> Any:
            program = compiled(mesh_plan.platform)
            return program(*args, mesh_plan=mesh_plan, **kwargs)

        return call

    return decorate

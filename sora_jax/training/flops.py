"""FLOPs of a function, and the peak FLOP/s of the devices.

Dots and convolutions are counted on the jaxpr; a multiplication and an addition are
two. Loops count every iteration. Recomputation by remat counts again, so count
functions without remat for model FLOPs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from sora_jax.sharding import MeshPlan

# FLOP/s of a chip in bfloat16 by prefix of its `device_kind` (vendors' tables).
PEAKS = {
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5": 459e12,
    "TPU v6": 918e12,
    "TPU7x": 2307e12,
    "NVIDIA A100": 312e12,
    "NVIDIA H100": 989e12,
    "NVIDIA H200": 989e12,
}


def count_chips(mesh_plan: MeshPlan) -> int:
    """Return the number of chips: a TPU7x is two devices, a CPU any number."""
    if mesh_plan.platform == "cpu":
        return 1
    per_chip = 2 if mesh_plan.device_kind.startswith("TPU7x") else 1
    return mesh_plan.devices // per_chip


def peak_flops(mesh_plan: MeshPlan) -> float:
    """Return the peak FLOP/s of all chips, for the utilization of a run.

    Without a nominal figure, as for a CPU, it is the measured rate of a float32 product
    of two 2048 x 2048 matrices.
    """
    kind = mesh_plan.device_kind
    stated = [peak for name, peak in PEAKS.items() if kind.startswith(name)]
    return count_chips(mesh_plan) * (stated[0] if stated else _matmul_rate())


def _matmul_rate(side: int = 2048) -> float:
    square = jnp.ones((side, side), jnp.float32)
    multiply = jax.jit(jnp.matmul).lower(square, square).compile()
    best = math.inf
    for _ in range(3):
        started = time.perf_counter()
        jax.block_until_ready(multiply(square, square))
        best = min(best, time.perf_counter() - started)
    return 2 * side**3 / best


def count_flops(function: Callable, *args: Any) -> float:
    """Count the FLOPs of a call by its jaxpr; runs nothing."""
    closed = jax.make_jaxpr(function)(*args)
    return _count(closed.jaxpr)


def _count(jaxpr: core.Jaxpr) -> float:
    total = 0.0
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name == "dot_general":
            total += _dot(equation)
        elif name == "conv_general_dilated":
            total += _convolution(equation)
        else:
            turns = equation.params["length"] if name == "scan" else 1
            total += turns * sum(_count(inner) for inner in _inner(equation))
    return total


def _inner(equation: core.JaxprEqn) -> list[core.Jaxpr]:
    found = []
    for value in equation.params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            # A closed jaxpr holds the jaxpr; newer versions of JAX know one kind only.
            jaxpr = getattr(item, "jaxpr", item)
            if isinstance(jaxpr, core.Jaxpr):
                found.append(jaxpr)
    return found


def _shape(variable: Any) -> tuple[int, ...]:
    return variable.aval.shape


def _dot(equation: core.JaxprEqn) -> float:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = _shape(equation.invars[0])
    out = _shape(equation.outvars[0])
    return 2.0 * math.prod(out) * math.prod(left[axis] for axis in contracted)


def _convolution(equation: core.JaxprEqn) -> float:
    numbers = equation.params["dimension_numbers"]
    kernel = _shape(equation.invars[1])
    out = _shape(equation.outvars[0])
    features = kernel[numbers.rhs_spec[0]]
    # The gradient of a strided convolution multiplies by zeros that do not count.
    zeros = math.prod(equation.params["lhs_dilation"])
    return 2.0 * math.prod(out) * math.prod(kernel) / features / zeros

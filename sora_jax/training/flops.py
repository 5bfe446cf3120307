"""Model FLOPs of a function: its dots and convolutions, counted on its jaxpr.

A multiplication and an addition are two. Loops count each turn; what a remat policy
computes again counts again, so count functions without remat for model FLOPs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
from jax.extend import core


def count_flops(function: Callable, *args: Any) -> float:
    """FLOPs of one call with arguments of these shapes; nothing is run."""
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
    return 2.0 * math.prod(out) * math.prod(kernel) / features

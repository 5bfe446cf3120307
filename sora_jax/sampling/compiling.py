"""Compiling for weights that are held in half precision."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax

# XLA:CPU cannot slice bfloat16, converts it to float32, and moves that out of the loop
# over layers: then a whole network is there in float32 too. With this pass switched
# off, layers are converted one by one.
CPU = {"xla_disable_hlo_passes": "while-loop-invariant-code-motion"}


def jit(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """As `jax.jit`, with less memory on a CPU; the first call asks for the backend."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.cache
        def compiled(backend: str) -> Callable[..., Any]:
            chosen = CPU if backend == "cpu" else None
            return jax.jit(function, compiler_options=chosen, **options)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            return compiled(jax.default_backend())(*args, **kwargs)

        return call

    return decorate

"""The training step: gradient, optimizer and parameter average; jitted once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from sora_jax import compiling
from sora_jax.parameter_trees import Params
from sora_jax.training.objectives.objective import Metrics
from sora_jax.training.state import TrainState

# (trained parameters, frozen ones, batch, key, step) -> (loss, metrics)
Loss = Callable[..., tuple[Array, Metrics]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimization:
    """The optimizer and the decay of the parameter average.

    Parameters are updated and averaged once in `accumulate` batches.
    """

    transform: optax.GradientTransformation
    ema_decay: float
    accumulate: int = 1


def train_step(
    loss: Loss,
    optimization: Optimization,
    seed: int,
    state: TrainState,
    frozen: Params,
    batch: Any,
) -> tuple[TrainState, Metrics]:
    """Take one optimizer step; pure, to be jitted with the state donated."""
    key = jax.random.fold_in(jax.random.key(seed), state.step)
    grad = jax.value_and_grad(loss, has_aux=True)
    (value, metrics), grads = grad(state.params, frozen, batch, key, state.step)
    updates, opt_state = optimization.transform.update(
        grads, state.opt_state, state.params
    )
    params = optax.apply_updates(state.params, updates)
    # Early on, a lower decay lets the average forget the initial parameters.
    done = state.step + 1
    moves = (done // optimization.accumulate).astype(jnp.float32)
    decay = jnp.minimum(optimization.ema_decay, moves / (9 + moves))
    decay = jnp.where(done % optimization.accumulate == 0, decay, 1.0)
    ema = optax.incremental_update(params, state.ema, 1 - decay)
    state = TrainState(step=state.step + 1, params=params, ema=ema, opt_state=opt_state)
    norm = optax.tree.norm(grads)
    return state, {"loss": value, "grad_norm": norm, **metrics}


def jitted_train_step(
    loss: Loss,
    optimization: Optimization,
    seed: int,
    platform: str,
    cpu_matmul_dtype: str = "float32",
) -> Callable[..., tuple[TrainState, Metrics]]:
    """Compile `train_step` for a loss; the old state's memory is reused.

    Args:
      loss: the loss.
      optimization: optimizer and averaging.
      seed: of the noise.
      platform: of the mesh plan.
      cpu_matmul_dtype: to which matmul inputs are rounded on a CPU.
    """
    return jax.jit(
        partial(train_step, loss, optimization, seed),
        donate_argnums=0,
        compiler_options=compiling.options(platform, cpu_matmul_dtype=cpu_matmul_dtype),
    )

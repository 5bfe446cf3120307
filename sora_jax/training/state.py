"""What a training run carries from step to step, and how a step changes it.

The state is plain nested dicts of arrays, born on the mesh. Network structure lives in
a `graphdef` beside it; a loss is a pure function of parameters, batch and key.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Int

from sora_jax import sharding

Params = dict[str, Any]
Metrics = dict[str, Array]
# (params, batch, key, step) -> (loss, metrics)
Loss = Callable[[Params, Any, Array, Array], tuple[Array, Metrics]]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainState:
    """Step, parameters, their exponential average, and the optimizer's state."""

    step: Int[Array, ""]
    params: Any
    ema: Any
    opt_state: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimization:
    """How parameters move: an optimizer and the decay of the average.

    Parameters move, and are averaged, once in `accumulate` batches.
    """

    transform: optax.GradientTransformation
    ema_decay: float
    accumulate: int = 1


def create(
    make: Callable[[Array], nnx.Module],
    optimization: Optimization,
    key: Array,
    mesh: Mesh,
) -> tuple[nnx.GraphDef, TrainState]:
    """Make a state whose arrays are born where they belong on the mesh.

    Args:
      make: builds the module from a key.
      optimization: the optimizer and the average.
      key: randomness of the initial parameters.
      mesh: the current mesh (see `sharding.use`).
    """
    # Threefry, written out for every parameter, would take a minute to compile.
    key = jax.random.key(jax.random.bits(key, (), "uint32"), impl="unsafe_rbg")
    graphdef, abstract = nnx.split(nnx.eval_shape(make, key))
    shardings = sharding.parameter_shardings(nnx.merge(graphdef, abstract), mesh)

    def parameters(key: Array) -> Params:
        return nnx.to_pure_dict(nnx.state(make(key)))

    params = jax.jit(parameters, out_shardings=shardings)(key)
    # The optimizer's moments inherit the shardings of the parameters they follow.
    opt_state = jax.jit(optimization.transform.init)(params)
    return graphdef, TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        ema=jax.tree.map(jnp.copy, params),
        opt_state=opt_state,
    )


def update(
    loss: Loss,
    optimization: Optimization,
    seed: int,
    state: TrainState,
    batch: Any,
) -> tuple[TrainState, Metrics]:
    """Take one optimizer step; pure, to be jitted with the state donated."""
    key = jax.random.fold_in(jax.random.key(seed), state.step)
    grad = jax.value_and_grad(loss, has_aux=True)
    (value, metrics), grads = grad(state.params, batch, key, state.step)
    updates, opt_state = optimization.transform.update(
        grads, state.opt_state, state.params
    )
    params = optax.apply_updates(state.params, updates)
    # A young average would remember the initial parameters for too long.
    done = state.step + 1
    moves = (done // optimization.accumulate).astype(jnp.float32)
    decay = jnp.minimum(optimization.ema_decay, moves / (9 + moves))
    decay = jnp.where(done % optimization.accumulate == 0, decay, 1.0)
    ema = optax.incremental_update(params, state.ema, 1 - decay)
    state = TrainState(step=state.step + 1, params=params, ema=ema, opt_state=opt_state)
    norm = optax.tree.norm(grads)
    return state, {"loss": value, "grad_norm": norm, **metrics}


def jitted_update(
    loss: Loss, optimization: Optimization, seed: int
) -> Callable[[TrainState, Any], tuple[TrainState, Metrics]]:
    """Compile `update` for a loss; the old state's memory is reused."""
    return jax.jit(partial(update, loss, optimization, seed), donate_argnums=0)

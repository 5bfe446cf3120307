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
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array

from sora_jax import compiling, sharding
from sora_jax.sharding import MeshPlan

Params = dict[str, Any]
Metrics = dict[str, Array]
# (params, batch, key, step, *frozen) -> (loss, metrics); what is frozen is not trained
Loss = Callable[..., tuple[Array, Metrics]]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainState:
    """Step (int32 []), parameters, their average, and the optimizer's state.

    Its leaves are arrays, or in a blueprint what describes them.
    """

    step: Any
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Blueprint:
    """A state that is yet to be made, or to be restored: never both in memory.

    Attributes:
      graphdef: the network's structure.
      abstract: shape, dtype and sharding of every array of the state.
      initial: makes the state of step 0.
    """

    graphdef: nnx.GraphDef
    abstract: TrainState
    initial: Callable[[], TrainState]


def plan_state(
    make: Callable[[Array], nnx.Module],
    optimization: Optimization,
    seed: int,
    mesh_plan: MeshPlan,
) -> Blueprint:
    """Plan a state whose arrays are born where they belong on the mesh.

    Nothing is computed, so that a state can be planned for machines that are not here.

    Args:
      make: builds the module from a key.
      optimization: the optimizer and the average.
      seed: of the initial parameters.
      mesh_plan: of the run.
    """

    def key() -> Array:
        # Threefry, written out for every parameter, would take a minute to compile.
        bits = jax.random.bits(jax.random.key(seed), (), "uint32")
        return jax.random.key(bits, impl="unsafe_rbg")

    graphdef, module = nnx.split(nnx.eval_shape(lambda: make(key())))
    placed = sharding.parameter_shardings(nnx.merge(graphdef, module), mesh_plan)

    def initial() -> TrainState:
        params = nnx.to_pure_dict(nnx.state(make(key())))
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            ema=jax.tree.map(jnp.copy, params),
            opt_state=optimization.transform.init(params),
        )

    shapes = jax.eval_shape(initial)
    # XLA would replicate the optimizer's moments, since zeros depend on nothing.
    shardings = sharding.state_shardings(shapes, placed, mesh_plan)
    abstract = jax.tree.map(
        lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place),
        shapes,
        shardings,
    )
    return Blueprint(
        graphdef=graphdef,
        abstract=abstract,
        initial=lambda: jax.jit(initial, out_shardings=shardings)(),
    )


def started(blueprint: Blueprint, load: Callable[[], Params]) -> Blueprint:
    """A state that begins with loaded parameters; what is not loaded begins anew."""

    def initial() -> TrainState:
        state = blueprint.initial()
        with sharding.on_host():
            loaded = load()
        params = jax.tree.map(
            lambda new, old: sharding.place(
                np.asarray(new).astype(old.dtype), old.sharding
            ),
            {**state.params, **loaded},
            state.params,
        )
        ema = jax.tree.map(jnp.copy, params)
        return dataclasses.replace(state, params=params, ema=ema)

    return dataclasses.replace(blueprint, initial=initial)


def update(
    loss: Loss,
    optimization: Optimization,
    seed: int,
    state: TrainState,
    batch: Any,
    *frozen: Any,
) -> tuple[TrainState, Metrics]:
    """Take one optimizer step; pure, to be jitted with the state donated."""
    key = jax.random.fold_in(jax.random.key(seed), state.step)
    grad = jax.value_and_grad(loss, has_aux=True)
    (value, metrics), grads = grad(state.params, batch, key, state.step, *frozen)
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
    loss: Loss, optimization: Optimization, seed: int, cpu_matmul_dtype: str = "float32"
) -> Callable[..., tuple[TrainState, Metrics]]:
    """Compile `update` for a loss; the old state's memory is reused.

    Args:
      loss: by which parameters move.
      optimization: how they move.
      seed: of the noise.
      cpu_matmul_dtype: what the factors of products are rounded to on a CPU.
    """
    return jax.jit(
        partial(update, loss, optimization, seed),
        donate_argnums=0,
        compiler_options=compiling.options(
            jax.default_backend(), cpu_matmul_dtype=cpu_matmul_dtype
        ),
    )

"""The training state: trained parameters, their average, and the optimizer's state.

It is nested dicts of arrays, created in place on the mesh. Frozen parameters are not
part of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array

from sora_jax import parameter_trees as trees
from sora_jax import sharding
from sora_jax.parameter_trees import Params
from sora_jax.sharding import MeshPlan
from sora_jax.training.networks import Build


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainState:
    """Step (int32 []), parameters, their average, and the optimizer's state.

    Its leaves are arrays, or ShapeDtypeStructs in a plan.
    """

    step: Any
    params: Any
    ema: Any
    opt_state: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class StatePlan:
    """A state to initialize or to restore, so that memory never holds it twice.

    Attributes:
      abstract: shape, dtype and sharding of every array of the state.
      initialize: computes the state of step 0.
    """

    abstract: TrainState
    initialize: Callable[[], TrainState]

    def starting_from(self, load: Callable[[], Params]) -> StatePlan:
        """Replace initial parameters by loaded ones, where they exist."""

        def initialize() -> TrainState:
            state = self.initialize()
            loaded = trees.restrict(load_on_host(load), state.params)
            merged = trees.merge(state.params, loaded)
            params = jax.tree.map(place_like, merged, state.params)
            ema = jax.tree.map(jnp.copy, params)
            return dataclasses.replace(state, params=params, ema=ema)

        return dataclasses.replace(self, initialize=initialize)


def plan_state(
    build: Build,
    params: Params,
    transform: optax.GradientTransformation,
    seed: int,
    mesh_plan: MeshPlan,
) -> StatePlan:
    """Plan a state whose arrays are created in place on the mesh.

    Computes nothing, so a state can be planned for absent machines.

    Args:
      build: builds the networks.
      params: shapes of the trained parameters.
      transform: the optimizer.
      seed: of the initial parameters.
      mesh_plan: of the run.
    """

    def initialize() -> TrainState:
        # Threefry, inlined for every parameter, would take a minute to compile.
        bits = jax.random.bits(jax.random.key(seed), (), "uint32")
        modules = build(nnx.Rngs(jax.random.key(bits, impl="unsafe_rbg")))
        drawn = {n: nnx.to_pure_dict(nnx.state(m)) for n, m in modules.items()}
        trained = trees.restrict(drawn, params)
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=trained,
            ema=jax.tree.map(jnp.copy, trained),
            opt_state=transform.init(trained),
        )

    shapes = jax.eval_shape(initialize)
    placed = jax.tree.map(lambda x: x.sharding, params)
    # XLA would replicate the optimizer's moments, since zeros depend on nothing.
    shardings = sharding.state_shardings(shapes, placed, mesh_plan)
    abstract = jax.tree.map(
        lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place),
        shapes,
        shardings,
    )
    return StatePlan(
        abstract=abstract,
        initialize=lambda: jax.jit(initialize, out_shardings=shardings)(),
    )


def load_frozen(abstract: Params, load: Callable[[], Params]) -> Params:
    """Load frozen parameters with the given dtypes and shardings.

    Raises:
      ValueError: one is missing.
    """
    if not abstract:
        return {}
    loaded = trees.restrict(load_on_host(load), abstract)
    if lacking := sorted({*trees.path_names(abstract)} - {*trees.path_names(loaded)}):
        raise ValueError(
            f"start_from holds no {', '.join(lacking[:4])}, which trainable "
            "freezes: give weights that have it, or train it too"
        )
    return jax.tree.map(place_like, loaded, abstract)


def load_on_host(load: Callable[[], Params]) -> Params:
    """Load parameters to the host, not to the devices."""
    with sharding.on_host():
        return load()


def place_like(x: Any, wanted: Any) -> Array:
    """Place an array with the dtype and the sharding of another."""
    return sharding.place(np.asarray(x).astype(wanted.dtype), wanted.sharding)

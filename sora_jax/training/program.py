"""The training program: an objective on networks, some parameters frozen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax
from jaxtyping import Array

from sora_jax import parameter_trees as trees
from sora_jax.config import RunConfig
from sora_jax.parameter_trees import Params, Path
from sora_jax.sharding import MeshPlan
from sora_jax.training import networks
from sora_jax.training.flops import count_flops
from sora_jax.training.networks import AbstractNetworks, Build, Networks
from sora_jax.training.objectives.objective import Metrics, Objective
from sora_jax.training.state import StatePlan, plan_state
from sora_jax.training.step import Optimization

# Optimizer groups of parameters by their paths -> optimizer
MakeOptimizer = Callable[[Mapping[Path, str | None]], optax.GradientTransformation]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainProgram:
    """A training program without data or allocated parameters.

    Attributes:
      objective: the loss.
      optimization: optimizer and averaging.
      abstract: the networks.
      state: plan of the state of the trained parameters.
      frozen: shapes of the frozen parameters.
    """

    objective: Objective
    optimization: Optimization
    abstract: AbstractNetworks
    state: StatePlan
    frozen: Params

    def networks(self, params: Params, frozen: Params) -> Networks:
        """Build the networks from trained and frozen parameters."""
        return self.abstract.merge(params, frozen)

    def loss(
        self, params: Params, frozen: Params, batch: Any, key: Array, step: Array
    ) -> tuple[Array, Metrics]:
        """Compute the objective as a function of the trained parameters."""
        return self.objective(self.networks(params, frozen), batch, key, step)


def plan_program(
    config: RunConfig,
    mesh_plan: MeshPlan,
    *,
    build: Build,
    objective: Objective,
    optimizer: MakeOptimizer,
    dtypes: Mapping[str, str],
    read_only: tuple[str, ...] = (),
) -> TrainProgram:
    """Plan the training program of a run on a mesh.

    Args:
      config: of the run.
      mesh_plan: of the run.
      build: builds the networks.
      objective: the loss.
      optimizer: builds the optimizer from the groups of the parameters.
      dtypes: compute dtype of each network.
      read_only: networks frozen regardless of `config.trainable`.

    Raises:
      ValueError: `config.trainable` matches no parameter.
    """
    abstract = networks.abstract(build, mesh_plan)
    trained, frozen = split_trainable(abstract, config.trainable, read_only)
    optimization = Optimization(
        transform=optimizer(abstract.optimizer_groups),
        ema_decay=config.optim.ema_decay,
        accumulate=config.optim.accumulate,
    )
    return TrainProgram(
        objective=objective,
        optimization=optimization,
        abstract=abstract,
        state=plan_state(
            build, trained, optimization.transform, config.seed, mesh_plan
        ),
        frozen=networks.as_frozen(abstract, frozen, dtypes),
    )


def split_trainable(
    abstract: AbstractNetworks, trainable: str, read_only: tuple[str, ...] = ()
) -> tuple[Params, Params]:
    """Split parameters into those that a filter matches and frozen ones."""
    kept = {name: abstract.params[name] for name in read_only}
    others = {n: x for n, x in abstract.params.items() if n not in read_only}
    trees.require_match(others, trainable)
    trained, frozen = trees.split_trainable(others, trainable)
    return trained, {**frozen, **kept}


def gradient_flops(
    build: Build,
    objective: Objective,
    batch: Any,
    trainable: str = "all",
    read_only: tuple[str, ...] = (),
) -> float:
    """Count the FLOPs of the gradient of a batch, or of its shapes, on one device.

    `build` must return networks without remat, whose recomputation would count.
    """
    abstract = networks.abstract(build)
    trained, frozen = split_trainable(abstract, trainable, read_only)

    def loss(trained: Params, frozen: Params, batch: Any) -> tuple[Array, Metrics]:
        return objective(
            abstract.merge(trained, frozen),
            batch,
            jax.random.key(0),
            jax.numpy.int32(0),
        )

    return count_flops(jax.grad(loss, has_aux=True), trained, frozen, batch)

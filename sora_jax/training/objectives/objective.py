"""`Objective`, the protocol of training losses."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array

from sora_jax.training.networks import Networks

Metrics = dict[str, Array]


@runtime_checkable
class Objective(Protocol):
    """A loss that a training program differentiates.

    It is pure, and gets networks by name. The program differentiates with respect to
    the trained parameters only, so frozen networks (a text encoder, a teacher) are used
    like any other. Networks with optimizers of their own, such as a critic, share one
    loss, with `stop_gradient` between them (see `training.optim.by_network`).
    """

    def __call__(
        self, networks: Networks, batch: Any, key: Array, step: Array
    ) -> tuple[Array, Metrics]:
        """Compute the loss, a scalar, and scalars to show beside it.

        Args:
          networks: by name.
          batch: the global batch.
          key: random key of the step.
          step: number of earlier steps, for schedules.
        """
        ...

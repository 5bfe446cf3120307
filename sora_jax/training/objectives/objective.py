"""What training minimizes, as a function of networks."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array

from sora_jax.training.networks import Networks

Metrics = dict[str, Array]


@runtime_checkable
class Objective(Protocol):
    """A loss that a training program differentiates.

    It is pure, and reads networks by name. It need not know which of their parameters
    are trained: the program differentiates by these alone, so that a frozen network
    (a text encoder, a teacher) is read like any other. Networks that follow optimizers
    of their own, such as a critic, share one loss, in which each is a constant to the
    others (see `training.optim.by_network`).
    """

    def __call__(
        self, networks: Networks, batch: Any, key: Array, step: Array
    ) -> tuple[Array, Metrics]:
        """Compute the loss, a scalar, and scalars to show beside it.

        Args:
          networks: by name.
          batch: of the whole mesh.
          key: of this step's noise.
          step: how many steps were taken before, for what begins later.
        """
        ...

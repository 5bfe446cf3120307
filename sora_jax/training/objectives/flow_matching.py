"""Flow matching: the velocity from data to noise at random levels of noise."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sora_jax.config import FlowConfig
from sora_jax.diffusion import flow
from sora_jax.families import OURS
from sora_jax.models.contexts import encoded_before
from sora_jax.sharding import SINGLE_DEVICE, MeshPlan
from sora_jax.training.networks import Networks
from sora_jax.training.objectives.objective import Metrics
from sora_jax.types import Batch, Context


@dataclasses.dataclass(frozen=True)
class FlowMatching:
    """Train the transformer, and encoders of contexts unless frozen, on packed rows."""

    config: FlowConfig
    mesh_plan: MeshPlan = SINGLE_DEVICE

    def __call__(
        self, networks: Networks, batch: Batch, key: Array, step: Array
    ) -> tuple[Float[Array, ""], Metrics]:
        """Compute the loss at noise levels that are drawn."""
        del step
        levels_key, noise_key = jax.random.split(key)
        levels = flow.draw_levels(levels_key, batch.tokens, self.config)
        loss = loss_at(networks, batch, levels, noise_key, self.mesh_plan)
        return loss, {}


def loss_at(
    networks: Networks,
    batch: Batch,
    levels: Float[Array, "b k"],
    key: Array,
    mesh_plan: MeshPlan = SINGLE_DEVICE,
) -> Float[Array, ""]:
    """The loss of packed rows at given noise levels."""
    tokens, target = flow.add_noise(key, batch.tokens, levels)
    contexts = {}
    for name, read in batch.contexts.items():
        if jnp.issubdtype(read.inputs.dtype, jnp.floating):
            states, segments = encoded_before(read.inputs)
        else:
            encoder = networks[OURS.contexts[name]]
            states, segments = encoder.encode(read.inputs, mesh_plan)
        contexts[name] = Context(states=states, segments=segments, ids=read.ids)
    velocity = networks[OURS.transformer](tokens, contexts, mesh_plan=mesh_plan)
    return flow.loss(velocity, target, batch.tokens.target_mask)

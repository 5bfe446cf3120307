"""Reconstruction: the VAE's losses, and an adversarial loss by a critic."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from sora_jax.config import VAERun
from sora_jax.families import OURS
from sora_jax.models.critic import Critic
from sora_jax.models.vae import sample_posterior
from sora_jax.sharding import SINGLE_DEVICE, MeshPlan
from sora_jax.training.networks import Networks
from sora_jax.training.objectives import reconstruction_losses as losses
from sora_jax.training.objectives.objective import Metrics

# The networks, by name.
AUTOENCODER, CRITIC = OURS.autoencoder, "critic"
Clips = Float[Array, "b t h w 3"]


@dataclasses.dataclass(frozen=True)
class Reconstruction:
    """Train a VAE by L1, L2, edge and KL losses and, if present, by a critic."""

    config: VAERun
    mesh_plan: MeshPlan = SINGLE_DEVICE

    def __call__(
        self, networks: Networks, batch: Clips, key: Array, step: Array
    ) -> tuple[Float[Array, ""], Metrics]:
        """Compute the loss of a batch of pixels."""
        vae, config, mesh_plan = networks[AUTOENCODER], self.config, self.mesh_plan
        mean, log_variance, _ = vae.posterior(batch, mesh_plan=mesh_plan)
        latents = sample_posterior(key, mean, log_variance)
        decoded, _ = vae.reconstruct(latents, mesh_plan=mesh_plan)
        parts = {
            "l1": losses.l1(decoded, batch),
            "squares": losses.squares(decoded, batch),
            "edges": losses.edges(decoded, batch),
            "kl": losses.kl(mean, log_variance),
        }
        total = (
            parts["l1"]
            + config.squares * parts["squares"]
            + config.edges * parts["edges"]
            + config.kl * parts["kl"]
        )
        if CRITIC in networks:
            critic = adversarial(networks[CRITIC], batch, decoded, mesh_plan)
            has_begun = step >= config.critic.start
            weight = jnp.where(has_begun, config.critic.weight, 0.0)
            total += critic["critic"] + weight * critic["generator"]
            parts |= critic
        return total, {**parts, "psnr": losses.psnr(decoded, batch)}


def adversarial(
    critic: Critic, clips: Clips, decoded: Clips, mesh_plan: MeshPlan
) -> Metrics:
    """The hinge losses of the critic and of the generator.

    Gradients are stopped between the two, so that their sum trains both.
    """
    graphdef, params = nnx.split(critic)
    frozen = nnx.merge(graphdef, jax.lax.stop_gradient(params))
    scores = critic(jax.lax.stop_gradient(decoded), mesh_plan)
    return {
        "critic": losses.hinge_critic(critic(clips, mesh_plan), scores),
        "generator": losses.hinge_generator(frozen(decoded, mesh_plan)),
    }

"""Conditions for the transformer: given pixels as clean tokens, or as channels.

Either way they are encoded from given pixels alone, so that nothing of what is hidden
reaches the model. Training encodes its conditions by the same functions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Array, Float

from sora_jax.config import ModelConfig
from sora_jax.diffusion import conditioning
from sora_jax.models.vae import VAE
from sora_jax.sampling import codec
from sora_jax.sharding import SINGLE_DEVICE, MeshPlan
from sora_jax.types import Condition
from sora_jax.weights.model_weights import Weights

# Until which share of the steps a condition is held, and the condition of each video.
Schedule = Sequence[tuple[int | float, Sequence[Condition]]]
Extras = tuple[tuple[int | float, np.ndarray], ...]


def encode_conditions(
    weights: Weights, schedule: Schedule
) -> tuple[Array | None, Extras]:
    """Encode conditions: a prefix of clean latents `[b t h w z]`, or channels."""
    if not schedule:
        return None, ()
    vae, conditions = weights.vae, schedule[-1][1]
    mesh_plan = weights.mesh_plan
    if len(schedule) == 1 and is_prefix(weights.config, conditions[0].mask):
        return encode_prefix(vae, conditions, mesh_plan), ()
    return None, tuple(
        (until, encode_channels(vae, held, mesh_plan)) for until, held in schedule
    )


def is_prefix(config: ModelConfig, mask: Float[np.ndarray, "t h w"]) -> bool:
    """Whether given pixels enter as clean tokens.

    A model that was trained on both takes the frames of whole latents so, but not the
    one frame that a video is animated from.
    """
    if config.conditioning == "tokens":
        return True
    count = conditioning.prefix_length(np.asarray(mask))
    return (
        config.mid_clip and bool(count) and count % config.vae.time_factor == 1 < count
    )


def encode_prefix(
    vae: VAE, conditions: Sequence[Condition], mesh_plan: MeshPlan = SINGLE_DEVICE
) -> Float[Array, "b t h w z"]:
    """The latents of the given beginnings of videos."""
    count = conditioning.prefix_length(np.asarray(conditions[0].mask))
    begun = np.stack([np.asarray(c.pixels)[:count] for c in conditions])
    return codec.encode(vae, begun, mesh_plan)


def encode_channels(
    vae: VAE, conditions: Sequence[Condition], mesh_plan: MeshPlan = SINGLE_DEVICE
) -> Float[np.ndarray, "b t h w q"]:
    """The channels of given pixels: their mask, and their latents."""
    masks = [np.asarray(condition.mask, np.float32) for condition in conditions]
    # Grey where nothing is given, as in training, whatever the caller left there.
    shown = [
        conditioning.grey_out(np.asarray(condition.pixels, np.float32), mask).pixels
        for condition, mask in zip(conditions, masks, strict=True)
    ]
    latents = np.asarray(codec.encode(vae, np.stack(shown), mesh_plan))
    factor = vae.config.time_factor
    return np.stack(
        [
            conditioning.conditioning_channels(mask, given, factor)
            for mask, given in zip(masks, latents, strict=True)
        ]
    ).astype(np.float32)

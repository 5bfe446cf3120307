"""Encode given pixels for the transformer, as clean tokens or as channels.

Only given pixels are encoded, so that no other pixel leaks into the condition. Training
uses the same functions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Array, Float

from sora_jax.condition import Condition, Guide
from sora_jax.config import ModelConfig
from sora_jax.data.picture_inputs import picture_input
from sora_jax.diffusion import conditioning
from sora_jax.models.vae import VAE
from sora_jax.sampling import codec
from sora_jax.sampling.control_encoding import encode_control, encode_references
from sora_jax.sampling.request import Request
from sora_jax.sharding import SINGLE_DEVICE, MeshPlan
from sora_jax.types import AnyArray
from sora_jax.weights.model_weights import Weights

# (share of the steps in which it holds, condition of each video) pairs.
Schedule = Sequence[tuple[int | float, Sequence[Condition]]]
NO_GUIDE = Guide()
Extras = tuple[tuple[int | float, np.ndarray], ...]


def encode_conditions(
    weights: Weights, schedule: Schedule, guide: Guide = NO_GUIDE
) -> tuple[Array | None, Extras]:
    """Encode conditions: a prefix of clean latents `[b t h w z]`, or channels."""
    if not schedule:
        return None, ()
    vae, conditions = weights.vae, schedule[-1][1]
    mesh_plan = weights.mesh_plan
    if weights.config.conditioning == "control":
        return None, tuple(
            (until, encode_control(vae, held, guide, mesh_plan))
            for until, held in schedule
        )
    if len(schedule) == 1 and is_prefix(weights.config, conditions[0].mask):
        return encode_prefix(vae, conditions, mesh_plan), ()
    return None, tuple(
        (until, encode_channels(vae, held, mesh_plan)) for until, held in schedule
    )


def picture_inputs(
    config: ModelConfig,
    conditions: Sequence[Condition],
    originals: Sequence[Float[np.ndarray, "_ _ 3"]] = (),
) -> Float[np.ndarray, "b p h w 3"] | None:
    """Prepare the given frames for the model's picture encoder, if it has one.

    Args:
      config: of the model.
      conditions: of each video.
      originals: the given frames as they were before they were resized.
    """
    tower = config.picture
    if tower is None or not conditions:
        return None
    groups = []
    for condition in conditions:
        frames = conditioning.whole_frames(np.asarray(condition.mask)) or []
        shown = originals or [np.asarray(condition.pixels[i]) for i in frames]
        groups.append(np.stack([picture_input(picture, tower) for picture in shown]))
    return np.stack(groups)


def with_references(
    weights: Weights, source: Float[AnyArray, "t h w z"], request: Request
) -> Float[AnyArray, "t2 h w z"]:
    """Put the latents of references before those that denoising starts from."""
    if not request.guide.references:
        return source
    size = request.settings.size
    before = encode_references(weights.vae, request.guide, size, weights.mesh_plan)
    return np.concatenate([before, np.asarray(source)])


def is_prefix(config: ModelConfig, mask: Float[np.ndarray, "t h w"]) -> bool:
    """Return whether given pixels enter as clean tokens.

    A model trained on both kinds of condition takes a prefix of several frames as
    tokens, but a single first frame as channels.
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
    """Encode the given prefixes of videos to clean latents."""
    count = conditioning.prefix_length(np.asarray(conditions[0].mask))
    begun = np.stack([np.asarray(c.pixels)[:count] for c in conditions])
    return codec.encode(vae, begun, mesh_plan)


def encode_channels(
    vae: VAE, conditions: Sequence[Condition], mesh_plan: MeshPlan = SINGLE_DEVICE
) -> Float[np.ndarray, "b t h w q"]:
    """Encode conditions to channels: the mask and the latents of the given pixels."""
    masks = [np.asarray(condition.mask, np.float32) for condition in conditions]
    # Pixels outside the mask are grey, as in training.
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

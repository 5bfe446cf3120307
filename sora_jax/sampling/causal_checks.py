"""Check what is asked of a causal model: it cannot look ahead. Needs no weights."""

from __future__ import annotations

import numpy as np

from sora_jax.condition import Condition
from sora_jax.config import ModelConfig, SamplingConfig
from sora_jax.diffusion import conditioning

REMEDY = (
    "extend a clip forward, or use weights that see the whole video, such as the "
    "default ones"
)


def check_settings(settings: SamplingConfig, model: ModelConfig) -> list[str]:
    """Return problems with the settings of a causal model; none of another one."""
    causal, problems = model.causal, []
    if causal is None:
        return []
    if settings.cache != "none":
        problems.append(
            f"cache must be none for the causal model {model.name}, of whose few steps "
            f"none is skipped, got {settings.cache}: leave it out"
        )
    window, factor = settings.window, model.vae.time_factor
    least = 1 + (causal.block + causal.sink) * factor
    if window is not None and window < min(least, settings.frames):
        problems.append(
            f"window must be at least {least} frames for the causal model "
            f"{model.name}, more than its block and its sink ({causal.block} and "
            f"{causal.sink} latents), since it is what a block sees, got {window}"
        )
    return problems


def check_given(condition: Condition, model: ModelConfig) -> list[str]:
    """Return problems with given pixels: only whole frames at the beginning may be."""
    causal, factor = model.causal, model.vae.time_factor
    assert causal is not None
    mask = np.asarray(condition.mask)
    given = conditioning.prefix_length(mask)
    if given is None:
        at = np.flatnonzero(mask.any(axis=(1, 2)))
        return [
            f"condition: the model {model.name} is causal and cannot look ahead: "
            f"frames {at[0]} to {at[-1]} are given in part, or behind others that are "
            f"to be made: {REMEDY}"
        ]
    latents = 1 + (given - 1) // factor
    if given == 0 or (given % factor == 1 and causal.given(latents) == latents):
        return []
    stops = [stop for _, stop in causal.spans(3 * causal.block)][:3]
    whole = ", ".join(str(1 + (stop - 1) * factor) for stop in stops)
    if causal.part_given:
        whole = ", ".join(str(1 + n * factor) for n in range(3))
    return [
        f"condition: the causal model {model.name} is given its first frames in whole "
        f"blocks ({whole}, … frames), got {given}: give as many, {REMEDY}"
    ]

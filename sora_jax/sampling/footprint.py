"""Estimate the memory of a request before any work."""

from __future__ import annotations

import math

import numpy as np

from sora_jax import memory
from sora_jax.config import ModelConfig
from sora_jax.data.patches import grid_of
from sora_jax.limits import Limits
from sora_jax.nn.precision import compute_dtype
from sora_jax.sampling.block_plan import BlockPlan
from sora_jax.sampling.request import Request

FLOAT = 4  # bytes


def footprint(request: Request, model: ModelConfig) -> int:
    """Return a lower bound on the bytes of a denoising step, over all devices.

    It counts the tokens between two layers and inside an MLP, the solver's stack, what
    is cached, and the latents of the whole video. A compiled step takes up to four
    times as much (`python -m sora_jax.plan` reports it exactly).
    """
    shape = request.latent_shape(model)
    window, remembered = 1 + (request.window(model) - 1) // model.vae.time_factor, 0
    if model.causal is not None:
        window, remembered = model.causal.block, BlockPlan(request, model).slots
    n = math.prod(grid_of((window, *shape[1:]), model.dit.patch))
    videos, dit = len(request.prompts), model.dit
    rows = videos * (2 if request.settings.guides(model.boundary is not None) else 1)
    itemsize = np.dtype(compute_dtype(dit.dtype)).itemsize
    at_work = rows * n * (4 * dit.width + 2 * dit.mlp) * itemsize
    keys = rows * n // window * remembered * 2 * dit.width * dit.depth * itemsize
    # The residual of the last whole step.
    kept = rows * n * dit.width * FLOAT * (request.settings.cache != "none")
    stack = videos * n * dit.patch_features * 3 * FLOAT
    return at_work + keys + kept + stack + videos * math.prod(shape) * FLOAT


def check_footprint(request: Request, model: ModelConfig, limits: Limits) -> list[str]:
    """Return a problem if the request does not fit into memory."""
    needed, room = footprint(request, model), memory.total_available() * limits.memory
    if needed <= room:
        return []
    height, width = request.settings.size
    return [
        f"frames: {request.window(model):,} of {width}x{height} at once, for "
        f"{len(request.prompts)} videos, need at least {memory.gib(needed)} of memory, "
        f"got {memory.gib(room)}: ask for fewer or smaller ones (a smaller --window "
        "samples long videos in pieces), or lift the limits (--unlimited, or "
        "limits=UNLIMITED)"
    ]

"""What a request takes of memory, estimated before any work."""

from __future__ import annotations

import math

import numpy as np

from sora_jax import memory
from sora_jax.config import ModelConfig
from sora_jax.data.patches import grid_of
from sora_jax.limits import Limits
from sora_jax.nn.precision import compute_dtype
from sora_jax.sampling.request import Request

FLOAT = 4  # bytes


def footprint(request: Request, model: ModelConfig) -> int:
    """Bytes that a step of denoising holds at least, over all devices.

    The tokens between two layers and inside an MLP, the solver's history, and the
    latents of the whole; what a compiled step takes is up to four times as much
    (`python -m sora_jax.plan` tells it exactly). What exceeds this cannot work.
    """
    shape = request.latent_shape(model)
    window = 1 + (request.window(model) - 1) // model.vae.time_factor
    n = math.prod(grid_of((window, *shape[1:]), model.dit.patch))
    videos, dit = len(request.prompts), model.dit
    rows = videos * (2 if request.settings.guides(model.boundary is not None) else 1)
    itemsize = np.dtype(compute_dtype(dit.dtype)).itemsize
    at_work = rows * n * (4 * dit.width + 2 * dit.mlp) * itemsize
    stack = videos * n * dit.patch_features * 3 * FLOAT
    return at_work + stack + videos * math.prod(shape) * FLOAT


def check_footprint(request: Request, model: ModelConfig, limits: Limits) -> list[str]:
    """Problems with a request that the devices' memory cannot hold."""
    needed, room = footprint(request, model), memory.total_available() * limits.memory
    if needed <= room:
        return []
    height, width = request.settings.size
    return [
        f"frames: {request.window(model):,} at once of {width}x{height}, for "
        f"{len(request.prompts)} videos, take at least {memory.gib(needed)} of memory, "
        f"and there are {memory.gib(room)}: ask for fewer or smaller ones (a --window "
        "makes long videos part by part), or lift the limits (--unlimited, or "
        "limits=UNLIMITED)"
    ]

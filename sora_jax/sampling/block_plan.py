"""The blocks in which a causal model makes a video, and their places in its cache."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from sora_jax.config import CausalConfig, ModelConfig
from sora_jax.nn.kv_cache import slots_of
from sora_jax.sampling.request import Request


class BlockPlan:
    """The blocks of a video.

    Attributes:
      causal: what the model was trained for.
      spans: latent frames (start, stop) of each block; the last may go beyond the end.
      slots: of the cache, a latent frame each.
    """

    def __init__(self, request: Request, model: ModelConfig):
        assert model.causal is not None
        self.causal: CausalConfig = model.causal
        self.spans = self.causal.spans(request.latent_shape(model)[0])
        window = latent_window(request, model)
        self.slots = min(window - self.causal.block, self.spans[-1][0])

    def slots_of(self, number: int) -> Int[np.ndarray, " t"]:
        """Return the slots of a block's frames; -1 for those that the first lacks."""
        slots = slots_of(np.arange(*self.spans[number]), self.slots, self.causal.sink)
        missing = self.causal.block - len(slots)
        return np.pad(slots, (0, missing), constant_values=-1)


def latent_window(request: Request, model: ModelConfig) -> int:
    """Return the latent frames that a block sees, its own included."""
    assert model.causal is not None
    window = request.settings.window
    if window is None:
        return model.causal.window
    return 1 + (window - 1) // model.vae.time_factor

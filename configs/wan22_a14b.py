"""Wan 2.2 T2V-A14B: one transformer for high noise, one for low.

Hardware: accelerators of 80 GB, the two loaded in turn.
Expected: 2 x 14,288,491,584 parameters, a VAE of 0.13 billion and a text encoder of
  5.7 billion.
Command:
  python sample.py --weights DIR --model wan22_a14b --prompt "…"
"""

from sora_jax.config import ModelConfig
from sora_jax.families.wan import models


def get_config() -> ModelConfig:
    """Return the model: its networks and its publishers' defaults."""
    return models.WAN22_A14B

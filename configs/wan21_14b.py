"""Wan 2.1 T2V-14B: the large text-to-video model.

Hardware: accelerators of 80 GB or more together.
Expected: 14,288,491,584 parameters, a VAE of 0.13 billion and a text encoder of
  5.7 billion.
Command:
  python sample.py --weights DIR --model wan21_14b --prompt "…"
"""

from sora_jax.config import ModelConfig
from sora_jax.families.wan import models


def get_config() -> ModelConfig:
    """Return the model: its networks and its publishers' defaults."""
    return models.WAN21_14B

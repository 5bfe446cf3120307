"""Wan 2.2 TI2V-5B: text, or text and a first picture, to video at 720p.

Hardware: one accelerator of 32 GB.
Expected: 4,999,787,712 parameters, a VAE of 0.70 billion and a text encoder of
  5.7 billion.
Command:
  python sample.py --weights DIR --model wan22_5b --prompt "…"
"""

from sora_jax.config import ModelConfig
from sora_jax.families.wan import models


def get_config() -> ModelConfig:
    """Return the model: its networks and its publishers' defaults."""
    return models.WAN22_5B

"""Wan 2.1 T2V-1.3B: the smallest open text-to-video model of its family.

Hardware: one accelerator of 16 GB at 480p; a CPU of 24 GB for small clips.
Expected: 1,418,996,800 parameters, a VAE of 0.13 billion and a text encoder of
  5.7 billion.
Command:
  python sample.py --weights DIR --model wan21_1b3 --prompt "…"
"""

from sora_jax.config import ModelConfig
from sora_jax.families.wan import models


def get_config() -> ModelConfig:
    """Return the model: its networks and its publishers' defaults."""
    return models.WAN21_1B3

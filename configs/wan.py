"""Any of Wan's published models, for `sora_jax.plan`: configs/wan.py:NAME.

Hardware: what the plan is asked about. The 14B models and their text encoder need the
  memory of several chips.
Expected: memory, traffic and time of a guided step; docs/pods.md has some.
Command:
  python -m sora_jax.plan --config=configs/wan.py:wan21_vace_14b --topology=v6e:2x4
"""

from sora_jax.config import ModelConfig
from sora_jax.families.wan import models


def get_config(name: str = models.WAN21_1B3.name) -> ModelConfig:
    """Return a published model by its name."""
    if name not in models.MODELS:
        raise ValueError(
            f"wan.py takes one of {', '.join(models.MODELS)}, got {name!r}"
        )
    return models.MODELS[name]

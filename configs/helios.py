"""Any of Helios' published models, for `sora_jax.plan`: configs/helios.py:NAME.

Hardware: what the plan is asked about. The 14B model and its text encoder need the
  memory of several chips.
Expected: memory, traffic and time of a step at the finest stage of a chunk.
Command:
  python -m sora_jax.plan --config=configs/helios.py:helios_distilled \\
      --topology=v6e:2x4 --config.sampling.frames=1449
"""

from sora_jax.config import ModelConfig
from sora_jax.families.helios import models


def get_config(name: str = models.BASE.name) -> ModelConfig:
    """Return a published model by its name."""
    if name not in models.MODELS:
        raise ValueError(
            f"helios.py takes one of {', '.join(models.MODELS)}, got {name!r}"
        )
    return models.MODELS[name]

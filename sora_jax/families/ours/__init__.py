"""Models trained with sora_jax; they use only the sora_jax layout."""

from __future__ import annotations

from sora_jax.config import ModelConfig
from sora_jax.families.family import Family, NetworkSpec
from sora_jax.models.dit import DiT
from sora_jax.models.text_encoder import TextEncoder
from sora_jax.models.vae import VAE
from sora_jax.types import TEXT


def summary(config: ModelConfig) -> str:
    """Describe the size of the transformer."""
    return f"a transformer of width {config.dit.width} and depth {config.dit.depth}"


OURS = Family(
    name="ours",
    config=ModelConfig,
    networks={
        "vae": NetworkSpec(module=VAE, config="vae"),
        "dit": NetworkSpec(module=DiT, config="dit"),
        "text_encoder": NetworkSpec(module=TextEncoder, config="text"),
    },
    contexts={TEXT: "text_encoder"},
    heads=lambda config: config.dit.heads,
    summary=summary,
)

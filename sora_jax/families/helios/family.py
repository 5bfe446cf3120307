"""Helios: long videos chunk by chunk, from text, a picture or a video."""

from __future__ import annotations

from sora_jax.config import ModelConfig
from sora_jax.families.family import Family, NetworkSpec
from sora_jax.families.helios import layout_diffusers, models
from sora_jax.families.helios.dit_table import dit_table
from sora_jax.families.ours import summary
from sora_jax.families.wan.text_table import ALIASES, text_table
from sora_jax.families.wan.vae_table import CONSTANTS, vae_table
from sora_jax.models.dit import DiT
from sora_jax.models.text_encoder import TextEncoder
from sora_jax.models.vae import VAE
from sora_jax.types import TEXT

HELIOS = Family(
    name="helios",
    config=ModelConfig,
    networks={
        "vae": NetworkSpec(
            module=VAE, config="vae", table=vae_table, constants=CONSTANTS
        ),
        "dit": NetworkSpec(module=DiT, config="dit", table=dit_table),
        "text_encoder": NetworkSpec(
            module=TextEncoder, config="text", table=text_table, aliases=ALIASES
        ),
    },
    contexts={TEXT: "text_encoder"},
    layouts=(layout_diffusers.LAYOUT,),
    models=models.MODELS,
    heads=lambda config: config.dit.heads,
    summary=summary,
)

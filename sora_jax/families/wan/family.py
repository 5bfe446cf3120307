"""Wan 2.1 and 2.2: text to video and image to video, one or two transformers."""

from __future__ import annotations

from sora_jax.config import ModelConfig
from sora_jax.families.family import Family, NetworkSpec
from sora_jax.families.ours import summary
from sora_jax.families.wan import (
    layout_diffusers,
    layout_original,
    models,
    picture_table,
    text_table,
)
from sora_jax.families.wan.dit_table import dit_table
from sora_jax.families.wan.from_files import ANCHORS, FROM_FILES
from sora_jax.families.wan.layouts import (
    DIT_LOW,
    PICTURE_ENCODER,
    guess_adapter,
    guess_model,
    without_prefix,
)
from sora_jax.families.wan.vae_table import CONSTANTS, vae_table
from sora_jax.models.dit import DiT
from sora_jax.models.picture_encoder import PictureEncoder
from sora_jax.models.text_encoder import TextEncoder
from sora_jax.models.vae import VAE
from sora_jax.types import PICTURE, TEXT


def expert_at(config: ModelConfig, time: float) -> str:
    """The second transformer serves the times below the boundary."""
    is_low = config.boundary is not None and time < config.boundary
    return DIT_LOW if is_low else "dit"


WAN = Family(
    name="wan",
    config=ModelConfig,
    networks={
        "vae": NetworkSpec(
            module=VAE,
            config="vae",
            table=vae_table,
            constants=CONSTANTS,
            anchors=ANCHORS["vae"],
        ),
        "dit": NetworkSpec(
            module=DiT,
            config="dit",
            table=dit_table,
            anchors=ANCHORS["dit"],
            canonical=without_prefix,
            guess=guess_model,
            guess_adapter=guess_adapter,
        ),
        DIT_LOW: NetworkSpec(
            module=DiT,
            config="dit",
            is_used=lambda config: config.boundary is not None,
            table=dit_table,
            anchors=ANCHORS["dit"],
            guess=guess_model,
            guess_adapter=guess_adapter,
        ),
        "text_encoder": NetworkSpec(
            module=TextEncoder,
            config="text",
            table=text_table.text_table,
            aliases=text_table.ALIASES,
            canonical=text_table.canonical_name,
            anchors=ANCHORS["text_encoder"],
        ),
        PICTURE_ENCODER: NetworkSpec(
            module=PictureEncoder,
            config="picture",
            is_used=lambda config: config.picture is not None,
            table=picture_table.picture_table,
            canonical=picture_table.canonical_name,
            anchors=ANCHORS[PICTURE_ENCODER],
        ),
    },
    contexts={TEXT: "text_encoder", PICTURE: PICTURE_ENCODER},
    experts=expert_at,
    transformers={"high": "dit", "low": DIT_LOW},
    from_files=FROM_FILES,
    layouts=(layout_diffusers.LAYOUT, layout_original.LAYOUT),
    models=models.MODELS,
    heads=lambda config: config.dit.heads,
    summary=summary,
)

"""Tell Wan's models from the tensors of their networks, without any config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sora_jax.config import ModelConfig
from sora_jax.families.family import FromFiles, NamedShapes
from sora_jax.families.wan import models, sizes
from sora_jax.families.wan.layout_original import model_config
from sora_jax.families.wan.layouts import DIT_LOW, LAYOUTS, PICTURE_ENCODER

# A tensor that every file of a network has, in diffusers' layout and the original one.
_ANCHORS = {
    "dit": ("condition_embedder.time_proj.weight", "time_projection.1.weight"),
    "vae": ("decoder.conv_out.weight", "decoder.head.2.weight"),
    "text_encoder": (
        "encoder.block.0.layer.0.SelfAttention.q.weight",
        "blocks.0.attn.q.weight",
    ),
    PICTURE_ENCODER: ("embeddings.class_embedding", "visual.cls_embedding"),
}
ANCHORS: dict[str, dict[str, str]] = {
    network: dict(zip(LAYOUTS, names, strict=True))
    for network, names in _ANCHORS.items()
}


def needs(transformer: NamedShapes) -> tuple[str, ...]:
    """Return the networks that a transformer needs."""
    reads_pictures = sizes.reads_pictures(transformer.shapes, transformer.layout)
    return ("vae", "text_encoder", *((PICTURE_ENCODER,) if reads_pictures else ()))


def fits(transformer: NamedShapes, network: str, found: NamedShapes) -> bool:
    """Return whether a network is of the kind that a transformer was trained with.

    Those of other programs' models may have the same names, and other shapes.
    """
    shapes, layout = transformer.shapes, transformer.layout
    try:
        if network == "vae":
            vae = sizes.vae_config(found.shapes, found.layout)
            return vae.channels == sizes.latent_channels(shapes, layout)
        if network == "text_encoder":
            text = sizes.text_config(found.shapes, found.layout, models.UMT5_XXL.pad_to)
            return text.width == sizes.context_width(shapes, layout, "text")
        picture = sizes.picture_config(found.shapes, found.layout)
        return picture.width == sizes.context_width(shapes, layout, "picture")
    except ValueError:
        return False


def describe(
    name: str, networks: Mapping[str, NamedShapes]
) -> tuple[ModelConfig, dict[str, Mapping[str, Sequence[float]]]]:
    """Return the model of some networks, and the constants of its VAE.

    Raises:
      ValueError: the networks are not of one model.
    """
    vae = sizes.vae_config(networks["vae"].shapes, networks["vae"].layout)
    encoder, transformer = networks["text_encoder"], networks["dit"]
    text = sizes.text_config(encoder.shapes, encoder.layout, models.UMT5_XXL.pad_to)
    picture = None
    if PICTURE_ENCODER in needs(transformer):
        tower = networks[PICTURE_ENCODER]
        picture = sizes.picture_config(tower.shapes, tower.layout)
    dit = sizes.dit_config(transformer.shapes, transformer.layout, picture)
    config = model_config(
        name,
        vae,
        dit,
        text,
        picture,
        has_low=DIT_LOW in networks,
        is_image_too=vae.shortcuts,
    )
    return config, {"vae": sizes.latent_statistics(vae)}


FROM_FILES = FromFiles(needs=needs, fits=fits, describe=describe)

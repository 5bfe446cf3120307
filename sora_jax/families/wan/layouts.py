"""Names shared by the two layouts of Wan's weights; columns of the tables."""

from __future__ import annotations

from sora_jax.config.models import DiTConfig
from sora_jax.config.weights import Conditioning
from sora_jax.families.family import Shapes
from sora_jax.families.wan.models import MODELS

# diffusers' (and transformers') names of tensors, and those of the publishers' code.
LAYOUTS = ("diffusers", "original")
# The transformer of the steps below `boundary`, where there are two.
DIT_LOW = "dit_low"
# CLIP's vision tower, in image-to-video models of Wan 2.1.
PICTURE_ENCODER = "picture_encoder"
COPY = "copy or download the folder again"


def conditioning_of(dit: DiTConfig, is_image_too: bool) -> Conditioning:
    """Return how a model takes given pixels; text-image models take clean tokens."""
    if dit.control_layers:
        return "control"
    if dit.extra_channels:
        return "channels"
    return "tokens" if is_image_too else "nothing"


def guess_model(shapes: Shapes) -> str:
    """Guess a transformer's model from its tensors; "" if it is not a transformer."""
    embed = shapes.get("patch_embedding.weight", ())
    if len(embed) < 2:
        return ""
    width, channels = embed[:2]
    layers = {name.split(".")[1] for name in shapes if name.startswith("blocks.")}
    names = [
        name
        for name, model in MODELS.items()
        if (model.dit.width, model.dit.depth) == (width, len(layers))
        and model.dit.channels + model.dit.extra_channels == channels
    ]
    known = f", as {' and '.join(names)}" if names else ""
    return (
        f"\nthe files look like a transformer of width {width}, depth "
        f"{len(layers)} and {channels} input channels{known}"
    )

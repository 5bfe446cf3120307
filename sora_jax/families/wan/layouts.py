"""Names shared by the two layouts of Wan's weights; columns of the tables."""

from __future__ import annotations

import re

from sora_jax.config.models import DiTConfig
from sora_jax.config.weights import Conditioning
from sora_jax.families.family import Shapes
from sora_jax.families.wan.models import MODELS

# diffusers' (and transformers') names of tensors, and those of the publishers' code.
LAYOUTS: tuple[str, str] = ("diffusers", "original")
# The transformer of the steps below `boundary`, where there are two.
DIT_LOW = "dit_low"
# CLIP's vision tower, in image-to-video models of Wan 2.1.
PICTURE_ENCODER = "picture_encoder"
COPY = "copy or download the folder again"


def conditioning_of(dit: DiTConfig, takes_tokens: bool) -> Conditioning:
    """Return how a model takes given pixels; some take clean tokens."""
    if dit.control_layers:
        return "control"
    if dit.extra_channels:
        return "channels"
    return "tokens" if takes_tokens else "nothing"


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


def without_prefix(name: str) -> str:
    """Return a tensor's name without the prefix of causal checkpoints."""
    return name.removeprefix("model.")


_BLOCK = re.compile(r"(?<!vace_)blocks[._](\d{1,4})[._]")
# Maps that read as many features as the transformer is wide, with dots or underscores.
_READS_WIDTH = re.compile(r"(self_attn[._][qkvo]|attn1[._]to_[qkv]|ffn[._]0|proj)$")
_PICTURE = re.compile(r"[kv]_img|add_[kv]_proj|img_emb|image_embedder")


def guess_adapter(shapes: Shapes) -> str:
    """Guess the transformer of an adapter; "" if it is not one of Wan's blocks.

    Args:
      shapes: of the first factors (rank, features), by module.
    """
    blocks = [int(found[1]) for found in map(_BLOCK.search, shapes) if found]
    widths = [
        shape[1]
        for name, shape in shapes.items()
        if len(shape) == 2 and _BLOCK.search(name) and _READS_WIDTH.search(name)
    ]
    if not blocks or not widths:
        return ""
    width, depth = max(set(widths), key=widths.count), max(blocks) + 1
    has_picture = any(map(_PICTURE.search, shapes))
    has_control = any("vace_" in name for name in shapes)
    names = [
        name
        for name, model in MODELS.items()
        if (model.dit.width, model.dit.depth) == (width, depth)
        and (model.picture is not None) == has_picture
        and bool(model.dit.control_layers) == has_control
    ]
    known = f", as {' and '.join(names)}" if names else ""
    return (
        f"\nthe file looks like an adapter for a transformer of width {width} and "
        f"depth {depth}{known}, with{'' if has_picture else 'out'} an image branch"
        f"{' and with a control branch' if has_control else ''}"
    )

"""The tables of CLIP's vision tower: Hugging Face's layout, and that of Wan's file."""

from __future__ import annotations

from sora_jax.config import PictureConfig
from sora_jax.families.table import (
    CONV_2D,
    SAME,
    Entry,
    Transform,
    chain,
    grouped,
    grouped_bias,
    squeezed,
)
from sora_jax.families.wan.block_table import linear, norm
from sora_jax.families.wan.layouts import LAYOUTS

# Tensors that are no parameters of ours, by the beginning of their names: the text
# tower, the projections to the space that both towers share, and numbered positions.
UNUSED = ("textual.", "log_scale", "logit_scale", "visual.head", "visual_projection.")
UNUSED += ("embeddings.position_ids",)
PREFIX = "vision_model."  # which some versions of transformers write
# (our module, its name in Hugging Face's layout, in the original one)
LINEARS = (
    ("out", "self_attn.out_proj", "attn.proj"),
    ("up", "mlp.fc1", "mlp.0"),
    ("down", "mlp.fc2", "mlp.2"),
)
NORMS = (("norm_1", "layer_norm1", "norm1"), ("norm_2", "layer_norm2", "norm2"))
OUTER_NORMS = (
    ("norm_in", "pre_layrnorm", "visual.pre_norm"),  # spelt so
    ("norm_out", "post_layernorm", "visual.post_norm"),
)
CLASS_TOKEN = ("embeddings.class_embedding", "visual.cls_embedding")
POSITIONS = ("embeddings.position_embedding.weight", "visual.pos_embedding")
EMBED = ("embeddings.patch_embedding.weight", "visual.patch_embedding.weight")
BLOCK = ("encoder.layers", "visual.transformer")


def canonical_name(name: str) -> str | None:
    """Return a tensor's name in the table; None if it is none of ours."""
    name = name.removeprefix(PREFIX)
    return None if name.startswith(UNUSED) else name


def picture_table(config: PictureConfig, layout: str = "diffusers") -> list[Entry]:
    """Every tensor of a vision tower of these sizes.

    Args:
      config: the tower.
      layout: "diffusers" (Hugging Face's) or "original".
    """
    which = LAYOUTS.index(layout)
    single = (SAME, SAME) if which == 0 else (squeezed(1, 1, 0), squeezed(1, 0, 0))
    pixels = Transform(
        lambda x: x.reshape(-1, x.shape[-1]),
        lambda x: x.reshape(config.patch, config.patch, 3, -1),
    )
    entries = [
        Entry(name=CLASS_TOKEN[which], path="class_token", transform=single[0]),
        Entry(name=POSITIONS[which], path="positions", transform=single[1]),
        Entry(name=EMBED[which], path="embed/kernel", transform=chain(CONV_2D, pixels)),
    ]
    for path, *names in OUTER_NORMS:
        entries += norm(names[which], path)
    for layer in range(config.depth):
        block, at = f"{BLOCK[which]}.{layer}", (layer,)
        for path, *names in NORMS:
            entries += norm(f"{block}.{names[which]}", f"layers/{path}", at)
        for path, *names in LINEARS:
            entries += linear(f"{block}.{names[which]}", f"layers/{path}", at)
        entries += _attention(block, at, which)
    return entries


def _attention(block: str, at: tuple[int, ...], which: int) -> list[Entry]:
    """Queries, keys and values: three maps in one layout, and one in the other."""
    if which == 1:
        name = f"{block}.attn.to_qkv"
        return linear(name, "layers/qkv", at, weight=grouped(3), bias=grouped_bias(3))
    entries = []
    for part, projection in enumerate(("q_proj", "k_proj", "v_proj")):
        name = f"{block}.self_attn.{projection}"
        entries += linear(name, "layers/qkv", at, part)
    return entries

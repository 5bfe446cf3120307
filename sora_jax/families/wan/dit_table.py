"""The tables of Wan's transformers (2.1 and 2.2), in both published layouts."""

from __future__ import annotations

from sora_jax.config import DiTConfig
from sora_jax.families.table import (
    FIRST_OF_ONE,
    Entry,
    grouped,
    grouped_bias,
    patches,
)
from sora_jax.families.wan.block_table import block_entries, linear, norm
from sora_jax.families.wan.control_table import control_table
from sora_jax.families.wan.layouts import LAYOUTS
from sora_jax.types import PICTURE

# (our module, its name in diffusers' layout, its name in the original layout)
OUTER = (
    ("time/up", "condition_embedder.time_embedder.linear_1", "time_embedding.0"),
    ("time/down", "condition_embedder.time_embedder.linear_2", "time_embedding.2"),
    (
        "contexts/text/up",
        "condition_embedder.text_embedder.linear_1",
        "text_embedding.0",
    ),
    (
        "contexts/text/down",
        "condition_embedder.text_embedder.linear_2",
        "text_embedding.2",
    ),
    ("head", "proj_out", "head.head"),
)
# The embedding of a picture context.
PICTURE_LINEARS = (
    ("up", "ff.net.0.proj", "proj.1"),
    ("down", "ff.net.2", "proj.3"),
)
PICTURE_NORMS = (("norm_in", "norm1", "proj.0"), ("norm_out", "norm2", "proj.4"))
PICTURE_EMBEDDING = ("condition_embedder.image_embedder", "img_emb")
PICTURE_POSITIONS = ("pos_embed", "emb_pos")
PATCH = ("patch_embedding", "patch_embedding")
TIME_TABLE = ("condition_embedder.time_proj", "time_projection.1")
HEAD_MODULATION = ("scale_shift_table", "head.modulation")


def dit_table(config: DiTConfig, layout: str = "diffusers") -> list[Entry]:
    """Every tensor of a Wan transformer of these sizes.

    Args:
      config: the transformer, whose contexts are text and perhaps pictures.
      layout: "diffusers" or "original".
    """
    which = LAYOUTS.index(layout)
    embed = patches(config.patch, config.channels)
    entries = [
        *linear(PATCH[which], "embed", weight=embed),
        *linear(
            TIME_TABLE[which], "time_table", weight=grouped(6), bias=grouped_bias(6)
        ),
        Entry(
            name=HEAD_MODULATION[which], path="head_modulation", transform=FIRST_OF_ONE
        ),
    ]
    for path, *names in OUTER:
        entries += linear(names[which], path)
    if PICTURE in dict(config.contexts):
        entries += picture_embedding(config, which)
    for layer in range(config.depth):
        entries += block_entries(config, f"blocks.{layer}", "blocks", (layer,), which)
    if config.control_layers:
        entries += control_table(config, layout)
    return entries


def picture_embedding(config: DiTConfig, which: int) -> list[Entry]:
    """The tensors of the embedding of pictures."""
    outer, path = PICTURE_EMBEDDING[which], "contexts/picture"
    entries = []
    for ours, *names in PICTURE_LINEARS:
        entries += linear(f"{outer}.{names[which]}", f"{path}/{ours}")
    for ours, *names in PICTURE_NORMS:
        entries += norm(f"{outer}.{names[which]}", f"{path}/{ours}")
    if config.picture_positions:
        entries.append(
            Entry(
                name=f"{outer}.{PICTURE_POSITIONS[which]}",
                path=f"{path}/positions",
                transform=FIRST_OF_ONE,
            )
        )
    return entries

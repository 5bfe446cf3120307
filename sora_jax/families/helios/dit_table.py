"""The table of Helios' transformer: Wan's, and the patch embeddings of a history."""

from __future__ import annotations

import dataclasses

from sora_jax.config import DiTConfig
from sora_jax.config.history import SCALES
from sora_jax.families.table import SAME, Entry, patches
from sora_jax.families.wan import dit_table as wan
from sora_jax.families.wan.block_table import linear

# Tensors that are called otherwise than Wan's, by parameter.
RENAMED = {"head_modulation": "norm_out.scale_shift_table"}


def dit_table(config: DiTConfig, layout: str = "diffusers") -> list[Entry]:
    """Every tensor of a Helios transformer of these sizes.

    Args:
      config: the transformer.
      layout: "diffusers", the only one that is published.
    """
    entries = [
        dataclasses.replace(entry, name=RENAMED.get(entry.path, entry.name))
        for entry in wan.dit_table(config, layout)
    ]
    t, h, w = config.patch
    for name, scale in SCALES.items():
        embed = patches((scale * t, scale * h, scale * w), config.channels)
        entries += linear(f"patch_{name}", f"history/{name}", weight=embed)
    if config.history is not None and config.history.key_scale != "none":
        entries += [
            Entry(
                name=f"blocks.{layer}.attn1.history_key_scale",
                path="blocks/self_attention/history_scale",
                index=(layer,),
                transform=SAME,
            )
            for layer in range(config.depth)
        ]
    return entries

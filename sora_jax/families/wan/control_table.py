"""The table of VACE's control branch, in both published layouts."""

from __future__ import annotations

from sora_jax.config import DiTConfig
from sora_jax.families.table import Entry, patches
from sora_jax.families.wan.block_table import block_entries, linear
from sora_jax.families.wan.layouts import LAYOUTS

# Of the first block alone, and of every block (in diffusers' and original layout).
ENTER = ("proj_in", "before_proj")
OUT = ("proj_out", "after_proj")


def control_table(config: DiTConfig, layout: str) -> list[Entry]:
    """Every tensor of the branch; its blocks are numbered by themselves."""
    which = LAYOUTS.index(layout)
    embed = patches(config.patch, config.control_channels)
    entries = linear("vace_patch_embedding", "control/embed", weight=embed)
    entries += linear(f"vace_blocks.0.{ENTER[which]}", "control/enter")
    for number in range(len(config.control_layers)):
        name, at = f"vace_blocks.{number}", (number,)
        entries += block_entries(config, name, "control/blocks/block", at, which)
        entries += linear(f"{name}.{OUT[which]}", "control/blocks/out", at)
    return entries

"""The tables of Wan's transformers (2.1 and 2.2), in both published layouts."""

from __future__ import annotations

from sora_jax.config import DiTConfig
from sora_jax.families.table import (
    ALL,
    FIRST_OF_ONE,
    LINEAR,
    SAME,
    Entry,
    Transform,
    chain,
    grouped,
    grouped_bias,
    halves,
    patches,
)
from sora_jax.families.wan.layouts import LAYOUTS
from sora_jax.types import PICTURE, TEXT

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
PICTURE_KV = (("add_k_proj", "add_v_proj"), ("k_img", "v_img"))
PICTURE_NORM = ("norm_added_k", "norm_k_img")
INNER = (
    ("self_attention/out", "attn1.to_out.0", "self_attn.o"),
    ("cross_attention/query", "attn2.to_q", "cross_attn.q"),
    ("cross_attention/out", "attn2.to_out.0", "cross_attn.o"),
    ("up", "ffn.net.0.proj", "ffn.0"),
    ("down", "ffn.net.2", "ffn.2"),
)
PATCH = ("patch_embedding", "patch_embedding")
TIME_TABLE = ("condition_embedder.time_proj", "time_projection.1")
HEAD_MODULATION = ("scale_shift_table", "head.modulation")
MODULATION = ("scale_shift_table", "modulation")
SELF, CROSS = ("attn1", "self_attn"), ("attn2", "cross_attn")
NORM_CROSS = ("norm2", "norm3")


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
        entries += block_entries(config, layer, which)
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


def block_entries(config: DiTConfig, layer: int, which: int) -> list[Entry]:
    """The tensors of one block."""
    block, at = f"blocks.{layer}", (layer,)
    self_name, cross_name = SELF[which], CROSS[which]
    projections = ("to_q", "to_k", "to_v") if which == 0 else ("q", "k", "v")
    turned = halves(config.heads)
    entries = [
        Entry(
            name=f"{block}.{MODULATION[which]}",
            path="blocks/modulation",
            index=at,
            transform=FIRST_OF_ONE,
        )
    ]
    for path, *names in INNER:
        entries += linear(f"{block}.{names[which]}", f"blocks/{path}", at)
    for part, projection in enumerate(projections):
        is_turned = projection[-1] in "qk"
        entries += linear(
            f"{block}.{self_name}.{projection}",
            "blocks/self_attention/qkv",
            at,
            part,
            weight=chain(turned, LINEAR) if is_turned else LINEAR,
            bias=turned if is_turned else SAME,
        )
    keys_values: dict[str, tuple[tuple[str, ...], str]] = {
        TEXT: (projections[1:], "norm_k")
    }
    if PICTURE in dict(config.contexts):
        keys_values[PICTURE] = (PICTURE_KV[which], PICTURE_NORM[which])
    norms = [
        (f"{self_name}.norm_q", "self_attention/norm_q", turned),
        (f"{self_name}.norm_k", "self_attention/norm_k", turned),
        (f"{cross_name}.norm_q", "cross_attention/norm_q", SAME),
        (NORM_CROSS[which], "norm_cross", SAME),
    ]
    for context, (parts, norm_k) in keys_values.items():
        for part, projection in enumerate(parts):
            entries += linear(
                f"{block}.{cross_name}.{projection}",
                f"blocks/cross_attention/kv/{context}",
                at,
                part,
            )
        path = f"cross_attention/norm_k/{context}"
        norms.append((f"{cross_name}.{norm_k}", path, SAME))
    for name, path, transform in norms:
        entries.append(
            Entry(
                name=f"{block}.{name}.weight",
                path=f"blocks/{path}/scale",
                index=at,
                transform=transform,
            )
        )
    entries.append(
        Entry(
            name=f"{block}.{NORM_CROSS[which]}.bias",
            path="blocks/norm_cross/bias",
            index=at,
            transform=SAME,
        )
    )
    return entries


def linear(
    name: str,
    path: str,
    at: tuple[int, ...] = (),
    part: int | None = None,
    weight: Transform = LINEAR,
    bias: Transform = SAME,
) -> list[Entry]:
    """Weight and bias of a linear map, perhaps one part of a fused one."""
    inside = () if part is None else (part,)
    return [
        Entry(
            name=f"{name}.weight",
            path=f"{path}/kernel",
            index=(*at, *((ALL, *inside) if inside else ())),
            transform=weight,
        ),
        Entry(
            name=f"{name}.bias",
            path=f"{path}/bias",
            index=(*at, *inside),
            transform=bias,
        ),
    ]


def norm(name: str, path: str) -> list[Entry]:
    """Scale and bias of a layer norm."""
    return [
        Entry(name=f"{name}.weight", path=f"{path}/scale", transform=SAME),
        Entry(name=f"{name}.bias", path=f"{path}/bias", transform=SAME),
    ]

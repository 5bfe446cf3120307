"""The tables of a block of Wan's transformers, in both published layouts."""

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
    halves,
)
from sora_jax.types import PICTURE, TEXT

# (our module, its name in diffusers' layout, its name in the original layout)
INNER = (
    ("self_attention/out", "attn1.to_out.0", "self_attn.o"),
    ("cross_attention/query", "attn2.to_q", "cross_attn.q"),
    ("cross_attention/out", "attn2.to_out.0", "cross_attn.o"),
    ("up", "ffn.net.0.proj", "ffn.0"),
    ("down", "ffn.net.2", "ffn.2"),
)
# Keys and values of a picture context.
PICTURE_KV = (("add_k_proj", "add_v_proj"), ("k_img", "v_img"))
PICTURE_NORM = ("norm_added_k", "norm_k_img")
MODULATION = ("scale_shift_table", "modulation")
SELF, CROSS = ("attn1", "self_attn"), ("attn2", "cross_attn")
NORM_CROSS = ("norm2", "norm3")


def block_entries(
    config: DiTConfig, block: str, path: str, at: tuple[int, ...], which: int
) -> list[Entry]:
    """The tensors of one block.

    Args:
      config: the transformer.
      block: the beginning of their names.
      path: of our stack of blocks.
      at: the block's index there.
      which: column of the layout.
    """
    self_name, cross_name = SELF[which], CROSS[which]
    projections = ("to_q", "to_k", "to_v") if which == 0 else ("q", "k", "v")
    turned = halves(config.heads)
    entries = [
        Entry(
            name=f"{block}.{MODULATION[which]}",
            path=f"{path}/modulation",
            index=at,
            transform=FIRST_OF_ONE,
        )
    ]
    for ours, *names in INNER:
        entries += linear(f"{block}.{names[which]}", f"{path}/{ours}", at)
    for part, projection in enumerate(projections):
        is_turned = projection[-1] in "qk"
        entries += linear(
            f"{block}.{self_name}.{projection}",
            f"{path}/self_attention/qkv",
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
                f"{path}/cross_attention/kv/{context}",
                at,
                part,
            )
        ours = f"cross_attention/norm_k/{context}"
        norms.append((f"{cross_name}.{norm_k}", ours, SAME))
    for name, ours, transform in norms:
        entries.append(
            Entry(
                name=f"{block}.{name}.weight",
                path=f"{path}/{ours}/scale",
                index=at,
                transform=transform,
            )
        )
    entries.append(
        Entry(
            name=f"{block}.{NORM_CROSS[which]}.bias",
            path=f"{path}/norm_cross/bias",
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


def norm(name: str, path: str, at: tuple[int, ...] = ()) -> list[Entry]:
    """Scale and bias of a layer norm."""
    return [
        Entry(name=f"{name}.weight", path=f"{path}/scale", index=at, transform=SAME),
        Entry(name=f"{name}.bias", path=f"{path}/bias", index=at, transform=SAME),
    ]

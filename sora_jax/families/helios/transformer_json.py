"""Read the config of Helios' transformer in diffusers' layout."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from sora_jax.config import DiTConfig, HistoryConfig
from sora_jax.config.history import SCALES
from sora_jax.families.wan import json_fields, network_json
from sora_jax.nn.rope import axis_pairs

# Required values, if present.
FIXED = {
    **network_json.DIT_FIXED,
    "added_kv_proj_dim": None,
    "has_multi_term_memory_patch": True,
}


class Transformer(json_fields.TransformerSizes):
    """`transformer/config.json`; what is absent has diffusers' defaults."""

    rope_dim: tuple[int, int, int] = (44, 42, 42)
    rope_theta: float = 10_000.0
    guidance_cross_attn: bool = True
    zero_history_timestep: bool = True
    is_amplify_history: bool = False
    history_scale_mode: Literal["scalar", "per_head"] = "per_head"


def dit_config(data: Mapping[str, Any], latents: int) -> DiTConfig:
    """Read a `transformer/config.json`, whose latents have so many channels.

    Raises:
      ValueError: lists every field that is missing or not supported.
    """
    told = json_fields.parse_fields("transformer", data, Transformer)
    width = told.attention_head_dim * told.num_attention_heads
    rotated = tuple(2 * pairs for pairs in axis_pairs(told.attention_head_dim))
    problems = [
        f"transformer: {name} must be {wanted}, got {got}: other values are not "
        "supported"
        for name, wanted, got in (
            ("rope_dim", rotated, told.rope_dim),
            ("in_channels", latents, told.in_channels),
            ("out_channels", latents, data.get("out_channels", latents)),
        )
        if wanted != got
    ]
    network_json.require_fixed("transformer", data, FIXED, problems)
    json_fields.check_features(
        "transformer", "attention_head_dim x num_attention_heads", width
    )
    token = math.prod(told.patch_size) * max(SCALES.values()) ** 3 * latents
    json_fields.check_features("transformer", "largest patch x in_channels", token)
    return DiTConfig(
        channels=latents,
        extra_channels=0,
        patch=told.patch_size,
        width=width,
        heads=told.num_attention_heads,
        mlp=told.ffn_dim,
        depth=told.num_layers,
        time_features=told.freq_dim,
        theta=told.rope_theta,
        contexts=(("text", told.text_dim),),
        history=HistoryConfig(
            is_clean=told.zero_history_timestep,
            reads_text=not told.guidance_cross_attn,
            key_scale=told.history_scale_mode if told.is_amplify_history else "none",
        ),
    )

"""Config fields renamed and added, so that folders of earlier versions load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# By config type: old to new names. "Run" stands for every type of run.
RENAMED: Mapping[str, Mapping[str, str]] = {
    # 0.1 to 0.2
    "DiTConfig": {"places": "position_embedding"},
    "VAEConfig": {"history": "temporal_padding"},
    "ModelConfig": {"headless": "mid_clip", "known": "conditioning"},
    "PackingConfig": {"headless": "mid_clip"},
    "Run": {"products": "cpu_matmul_dtype"},
    "sora_jax.json": {"headless": "mid_clip"},
}

# By config type: fields that earlier versions lacked, and what they computed.
ADDED: Mapping[str, Mapping[str, Any]] = {
    "VAEConfig": {"time_shortcut": "unfold"},
    "DiTConfig": {
        "picture_positions": 0,
        "control_channels": 0,
        "control_layers": (),
        "history": None,
    },
    "ModelConfig": {
        "keyframes": (),
        "picture": None,
        "causal": None,
        "chunks": None,
        "quantization": "none",
    },
    "SamplingConfig": {
        "sigmas": (),
        "cache": "none",
        "cache_threshold": 0.06,
        "cache_max_skips": 2,
        "cache_retention": 0.2,
        "refine_tile": None,
        "refine_overlap": 0.25,
        "cache_curve": (),
    },
}


def with_new_names(kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the fields of an earlier version, and add those that it lacked.

    Args:
      kind: the name of the config's type, or of the file that holds it.
      data: its fields.
    """
    if "decoder_only" in data and kind == "VAERun":  # 0.1 to 0.2
        trainable = "decoder" if data["decoder_only"] else "all"
        data = {n: x for n, x in data.items() if n != "decoder_only"}
        data = {"trainable": trainable, **data}
    table = RENAMED.get(kind) or (RENAMED["Run"] if kind.endswith("Run") else {})
    data = {**ADDED.get(kind, {}), **data}
    return {
        new if (new := table.get(name, name)) not in data else name: value
        for name, value in data.items()
    }

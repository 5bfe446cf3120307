"""Read and write the configs of CLIP's vision tower in diffusers' layout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sora_jax.config import PictureConfig
from sora_jax.families.wan import json_fields
from sora_jax.families.wan.network_json import require_fixed

Json = Mapping[str, Any]
PICTURE_FIXED = {"hidden_act": "gelu", "layer_norm_eps": 1e-5, "num_channels": 3}


def picture_config(data: Json) -> PictureConfig:
    """Read an `image_encoder/config.json`."""
    require_fixed("image_encoder", data, PICTURE_FIXED)
    told = json_fields.parse_fields("image_encoder", data, json_fields.Picture)
    return PictureConfig(
        width=told.hidden_size,
        depth=told.num_hidden_layers,
        heads=told.num_attention_heads,
        mlp=told.intermediate_size,
        patch=told.patch_size,
        size=told.image_size,
    )


def picture_json(config: PictureConfig) -> dict[str, Any]:
    """Undo `picture_config`."""
    return {
        "architectures": ["CLIPVisionModel"],
        "model_type": "clip_vision_model",
        **PICTURE_FIXED,
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "intermediate_size": config.mlp,
        "patch_size": config.patch,
        "image_size": config.size,
        "projection_dim": 1024,
    }


def processor_json(config: PictureConfig) -> dict[str, Any]:
    """Return transformers' settings for pictures of the tower."""
    size = config.size
    return {
        "image_processor_type": "CLIPImageProcessor",
        "crop_size": {"height": size, "width": size},
        "size": {"shortest_edge": size},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 3,
        "rescale_factor": 1 / 255,
    }

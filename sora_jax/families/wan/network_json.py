"""Read and write the configs of Wan's networks in diffusers' layout.

Unsupported values are refused by field, in both directions.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from sora_jax import files
from sora_jax.config import CausalConfig, DiTConfig, TextConfig, VAEConfig
from sora_jax.families.wan import json_fields
from sora_jax.types import PICTURE, TEXT

Json = Mapping[str, Any]

# Required values of a transformer's config, if present.
DIT_FIXED = {
    "qk_norm": "rms_norm_across_heads",
    "cross_attn_norm": True,
    "eps": 1e-6,
}
VAE_FIXED = {"attn_scales": []}
TEXT_FIXED = {"feed_forward_proj": "gated-gelu", "layer_norm_epsilon": 1e-6}
# Required values of a sora_jax config, for Wan's classes to build the same network.
EXPRESSIBLE = {
    "dit": {"position_embedding": False, "theta": 10_000.0, "history": None},
    "vae": {"temporal_padding": "zeros"},
    "text": {},
}


def dit_config(data: Json, latents: int) -> DiTConfig:
    """Read a `transformer/config.json`; `latents` of its channels are noisy."""
    told = json_fields.parse_fields("transformer", data, json_fields.Transformer)
    width = told.attention_head_dim * told.num_attention_heads
    require_fixed("transformer", data, DIT_FIXED, picture_problems(told, width))
    json_fields.check_features(
        "transformer", "attention_head_dim x num_attention_heads", width
    )
    token = math.prod(told.patch_size) * told.in_channels
    json_fields.check_features("transformer", "patch_size x in_channels", token)
    return DiTConfig(
        channels=latents,
        extra_channels=told.in_channels - latents,
        patch=told.patch_size,
        width=width,
        heads=told.num_attention_heads,
        mlp=told.ffn_dim,
        depth=told.num_layers,
        time_features=told.freq_dim,
        contexts=contexts_of(told.text_dim, told.image_dim),
        picture_positions=told.pos_embed_seq_len or 0,
        control_channels=told.vace_in_channels,
        control_layers=tuple(told.vace_layers),
    )


def causal_config(told: json_fields.Causal | None) -> CausalConfig | None:
    """Return what `causal` in the config of a transformer says."""
    return None if told is None else CausalConfig(**msgspec.structs.asdict(told))


def picture_problems(told: json_fields.Transformer, width: int) -> list[str]:
    """List what is wrong with the fields of a picture context."""
    pair = (told.image_dim, told.added_kv_proj_dim)
    if pair == (None, None) or (told.image_dim and told.added_kv_proj_dim == width):
        return []
    return [
        "transformer: image_dim and added_kv_proj_dim must both be null, or the second "
        f"{width} (its width), got {pair[0]} and {pair[1]}: other values are not "
        "supported"
    ]


def contexts_of(text: int, picture: int | None) -> tuple[tuple[str, int], ...]:
    """Return the contexts of a transformer from their features."""
    return ((TEXT, text), *(() if picture is None else ((PICTURE, picture),)))


def dit_json(config: DiTConfig) -> dict[str, Any]:
    """Undo `dit_config`."""
    contexts = dict(config.contexts)
    picture = contexts.get(PICTURE)
    kind, control = "WanTransformer3DModel", {}
    if config.control_layers:
        kind = "WanVACETransformer3DModel"
        control["vace_layers"] = list(config.control_layers)
        control["vace_in_channels"] = config.control_channels
    return {
        "_class_name": kind,
        **DIT_FIXED,
        **control,
        "patch_size": list(config.patch),
        "num_attention_heads": config.heads,
        "attention_head_dim": config.head_dim,
        "in_channels": config.channels + config.extra_channels,
        "out_channels": config.channels,
        "text_dim": contexts[TEXT],
        "image_dim": picture,
        "added_kv_proj_dim": None if picture is None else config.width,
        "pos_embed_seq_len": config.picture_positions or None,
        "freq_dim": config.time_features,
        "ffn_dim": config.mlp,
        "num_layers": config.depth,
        "rope_max_seq_len": 1024,
    }


def vae_config(data: Json) -> VAEConfig:
    """Read a `vae/config.json`."""
    require_fixed("vae", data, VAE_FIXED)
    told = json_fields.parse_fields("vae", data, json_fields.VAE)
    wrong = [
        f"vae: {name} must be {told.z_dim} numbers, got {len(getattr(told, name))}"
        for name in ("latents_mean", "latents_std")
        if len(getattr(told, name)) != told.z_dim
    ]
    if 0 in told.latents_std:
        wrong.append("vae: latents_std must not be 0, by which latents are divided")
    if wrong:
        raise ValueError("\n".join(wrong))
    decoder = told.decoder_base_dim or told.base_dim
    widest = max(told.base_dim, decoder) * max(told.dim_mult)
    json_fields.check_features("vae", "base_dim x dim_mult", widest)
    return VAEConfig(
        patch=told.patch_size or 1,
        channels=told.z_dim,
        encoder_width=told.base_dim,
        decoder_width=decoder,
        multipliers=tuple(told.dim_mult),
        blocks=told.num_res_blocks,
        stages=tuple((2 if time else 1, 2) for time in told.temperal_downsample),
        shortcuts=bool(told.is_residual),
        temporal_padding="zeros",
        dtype="float32",  # as its publishers run it
    )


def latent_statistics(data: Json) -> dict[str, Sequence[float]]:
    """Read mean and deviation of the latents from a `vae/config.json`."""
    return {"latent_mean": data["latents_mean"], "latent_std": data["latents_std"]}


def vae_json(
    config: VAEConfig, mean: Sequence[float], std: Sequence[float]
) -> dict[str, Any]:
    """Undo `vae_config`; the latents' statistics are fields of the config."""
    pixels = 3 * config.patch**2
    return {
        "_class_name": "AutoencoderKLWan",
        **VAE_FIXED,
        "base_dim": config.encoder_width,
        "decoder_base_dim": config.decoder_width,
        "z_dim": config.channels,
        "dim_mult": list(config.multipliers),
        "num_res_blocks": config.blocks,
        "temperal_downsample": [time > 1 for time, _ in config.stages],
        "dropout": 0.0,
        "latents_mean": list(mean),
        "latents_std": list(std),
        "is_residual": config.shortcuts,
        "in_channels": pixels,
        "out_channels": pixels,
        "patch_size": config.patch if config.patch > 1 else None,
        "scale_factor_temporal": config.time_factor,
        "scale_factor_spatial": config.space_factor,
    }


def text_config(data: Json, pad_to: int) -> TextConfig:
    """Read a `text_encoder/config.json`; prompts are padded to `pad_to` tokens."""
    require_fixed("text_encoder", data, TEXT_FIXED)
    told = json_fields.parse_fields("text_encoder", data, json_fields.Text)
    json_fields.check_features(
        "text_encoder", "num_heads x d_kv", told.num_heads * told.d_kv
    )
    return TextConfig(
        vocabulary=told.vocab_size,
        width=told.d_model,
        depth=told.num_layers,
        heads=told.num_heads,
        head_dim=told.d_kv,
        mlp=told.d_ff,
        buckets=told.relative_attention_num_buckets,
        max_distance=told.relative_attention_max_distance,
        pad_to=pad_to,
    )


def text_json(config: TextConfig) -> dict[str, Any]:
    """Undo `text_config`."""
    return {
        "architectures": ["UMT5EncoderModel"],
        "model_type": "umt5",
        **TEXT_FIXED,
        "vocab_size": config.vocabulary,
        "d_model": config.width,
        "num_layers": config.depth,
        "num_decoder_layers": config.depth,
        "num_heads": config.heads,
        "d_kv": config.head_dim,
        "d_ff": config.mlp,
        "relative_attention_num_buckets": config.buckets,
        "relative_attention_max_distance": config.max_distance,
        "is_gated_act": True,
        "dense_act_fn": "gelu_new",
        "is_encoder_decoder": True,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "tie_word_embeddings": False,
    }


def require_fixed(
    network: str, data: Json, fixed: Json, more: Sequence[str] = ()
) -> None:
    """Check the fields that have only one supported value.

    Args:
      network: for messages.
      data: the config.
      fixed: the supported value of each.
      more: other problems of the config, told together with these.

    Raises:
      ValueError: lists every problem.
    """
    problems = [
        f"{network}: {name} must be {value!r}, got {files.quoted(data[name])}: other "
        "values are not supported"
        for name, value in fixed.items()
        if name in data and data[name] != value
    ] + list(more)
    if problems:
        raise ValueError("\n".join(problems))


def problems_for_wan(section: str, config: Any) -> list[str]:
    """List the fields of a config that Wan's classes cannot express."""
    fields = dataclasses.asdict(config)
    return [
        f"{section}.{name} must be {value!r} for Wan's classes, got {fields[name]!r}"
        for name, value in EXPRESSIBLE[section].items()
        if fields[name] != value
    ]

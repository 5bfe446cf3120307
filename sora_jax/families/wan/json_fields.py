"""Types and bounds of the fields in Wan's configs.

They are checked before anything is built. Fields that are not listed here have no
effect, or are checked elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from sora_jax import files, limits

S = TypeVar("S", bound=msgspec.Struct)

Layers = Annotated[int, Meta(ge=1, le=limits.LAYERS)]
Features = Annotated[int, Meta(ge=1, le=limits.FEATURES)]
Blocks = Annotated[int, Meta(ge=1, le=limits.BLOCKS)]
Factor = Annotated[int, Meta(ge=1, le=limits.FACTOR)]
Tokens = Annotated[int, Meta(ge=1, le=limits.TOKENS)]
ControlLayers = Annotated[tuple[int, ...], Meta(max_length=limits.LAYERS)]
Latents = Annotated[int, Meta(ge=1, le=limits.LATENTS)]
Number = Annotated[float, Meta(ge=-limits.NUMBER, le=limits.NUMBER)]


class Causal(msgspec.Struct, forbid_unknown_fields=True):
    """`causal` in the config of a transformer, which publishers do not write."""

    block: Latents = 3
    window: Latents = 21
    sink: Annotated[int, Meta(ge=0, le=limits.LATENTS)] = 0
    first_alone: bool = False
    part_given: bool = False


class TransformerSizes(msgspec.Struct):
    """What `transformer/config.json` of diffusers' layout says of every family."""

    attention_head_dim: Features
    num_attention_heads: Features
    in_channels: Features
    patch_size: tuple[Factor, Factor, Factor]
    ffn_dim: Features
    num_layers: Layers
    freq_dim: Features
    text_dim: Features


class Transformer(TransformerSizes):
    """`transformer/config.json` of diffusers' layout."""

    image_dim: Features | None = None
    added_kv_proj_dim: Features | None = None
    pos_embed_seq_len: Features | None = None
    vace_layers: ControlLayers = ()
    vace_in_channels: Annotated[int, Meta(ge=0, le=limits.FEATURES)] = 0
    causal: Causal | None = None


class VAE(msgspec.Struct):
    """`vae/config.json` of diffusers' layout."""

    base_dim: Features
    z_dim: Features
    dim_mult: Annotated[list[Factor], Meta(min_length=1, max_length=limits.STAGES + 1)]
    num_res_blocks: Blocks
    temperal_downsample: Annotated[list[bool], Meta(max_length=limits.STAGES)]
    latents_mean: list[Number]
    latents_std: list[Number]
    decoder_base_dim: Features | None = None
    is_residual: bool | None = None
    patch_size: Factor | None = None


class Text(msgspec.Struct):
    """`text_encoder/config.json` of diffusers' layout."""

    vocab_size: Features
    d_model: Features
    num_layers: Layers
    num_heads: Features
    d_kv: Features
    d_ff: Features
    relative_attention_num_buckets: Features
    relative_attention_max_distance: Features


class Picture(msgspec.Struct):
    """`image_encoder/config.json` of diffusers' layout."""

    hidden_size: Features
    num_hidden_layers: Layers
    num_attention_heads: Features
    intermediate_size: Features
    patch_size: Features
    image_size: Features


class Pipeline(msgspec.Struct):
    """`model_index.json` of diffusers' layout."""

    boundary_ratio: Annotated[float, Meta(gt=0, lt=1)] | None = None
    expand_timesteps: bool | None = None


class Extras(msgspec.Struct):
    """`sora_jax.json`, which exports add."""

    name: str
    fps: Annotated[float, Meta(gt=0, le=limits.NUMBER)] | None
    mid_clip: bool
    sampling: dict[str, Any]
    # Empty in folders of earlier versions, whose models took any pixels.
    keyframes: tuple[tuple[int, ...], ...] = ()


class Tokenizing(msgspec.Struct):
    """`tokenizer/tokenizer_config.json`; transformers' "very long" is a huge number."""

    model_max_length: Annotated[float, Meta(ge=1)] | None = None


class Original(msgspec.Struct):
    """`config.json` of a transformer in the original layout."""

    dim: Features
    num_layers: Layers
    num_heads: Features
    ffn_dim: Features
    freq_dim: Features
    in_dim: Features
    out_dim: Features
    model_type: str = "t2v"
    vace_layers: ControlLayers = ()
    vace_in_dim: Annotated[int, Meta(ge=0, le=limits.FEATURES)] = 0
    text_len: Tokens = 512
    causal: Causal | None = None


def parse_fields(where: str, data: Mapping[str, Any], kind: type[S]) -> S:
    """Parse the relevant fields of a config.

    Args:
      where: the network, for messages.
      data: JSON data.
      kind: struct with the types of the fields.

    Raises:
      ValueError: lists every field that is missing or has another type.
    """
    problems = []
    for field in msgspec.structs.fields(kind):
        if field.name not in data:
            if field.default is msgspec.NODEFAULT:
                problems.append(f"{where}: {field.name} is missing")
            continue
        try:
            msgspec.convert(data[field.name], field.type)
        except msgspec.ValidationError as error:
            given = files.quoted(data[field.name])
            problems.append(f"{where}: {field.name}: {error}, got {given}")
    if problems:
        raise ValueError(
            "\n".join(problems) + "\nthis model is not supported: "
            "copy or download the folder again"
        )
    return msgspec.convert(data, kind)


def check_features(where: str, what: str, features: int) -> int:
    """Check that a width, a product of fields, is not too large.

    Raises:
      ValueError: it is above `limits.FEATURES`.
    """
    if features > limits.FEATURES:
        raise ValueError(
            f"{where}: {what} must be at most {limits.FEATURES}, got {features}: this "
            "model is not supported"
        )
    return features

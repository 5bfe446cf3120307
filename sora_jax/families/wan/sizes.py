"""Infer the configs of Wan's networks from the shapes of their tensors.

Only transformers in folders have configs of their own; the shapes tell the rest.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Mapping, Sequence

from sora_jax import files, limits
from sora_jax.config import DiTConfig, PictureConfig, TextConfig, VAEConfig
from sora_jax.families.family import Shapes
from sora_jax.families.wan import models
from sora_jax.families.wan.layouts import LAYOUTS, PICTURE_ENCODER
from sora_jax.families.wan.network_json import contexts_of

HEAD = models.WAN21_14B.dit.head_dim  # features of a head, in all transformers
CLIP_HEAD = models.CLIP_H.width // models.CLIP_H.heads
# Names of the tensors that tell sizes, in the order of `LAYOUTS`.
DIT = {
    "time": (
        "condition_embedder.time_embedder.linear_1.weight",
        "time_embedding.0.weight",
    ),
    "text": (
        "condition_embedder.text_embedder.linear_1.weight",
        "text_embedding.0.weight",
    ),
    "mlp": ("blocks.0.ffn.net.0.proj.weight", "blocks.0.ffn.0.weight"),
    "head": ("proj_out.weight", "head.head.weight"),
    "picture": (
        "condition_embedder.image_embedder.ff.net.0.proj.weight",
        "img_emb.proj.1.weight",
    ),
    "positions": ("condition_embedder.image_embedder.pos_embed", "img_emb.emb_pos"),
}
VAE = {
    "encoder": ("encoder.conv_in.weight", "encoder.conv1.weight"),
    "latents": ("post_quant_conv.weight", "conv2.weight"),
    "decoder": ("decoder.conv_out.weight", "decoder.head.2.weight"),
}
TEXT = {
    "embedding": ("shared.weight", "token_embedding.weight"),
    "bias": (
        "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
        "blocks.0.pos_embedding.embedding.weight",
    ),
    "query": (
        "encoder.block.0.layer.0.SelfAttention.q.weight",
        "blocks.0.attn.q.weight",
    ),
    "mlp": (
        "encoder.block.0.layer.1.DenseReluDense.wi_1.weight",
        "blocks.0.ffn.fc1.weight",
    ),
}
PICTURE = {
    "embed": ("embeddings.patch_embedding.weight", "visual.patch_embedding.weight"),
    "positions": ("embeddings.position_embedding.weight", "visual.pos_embedding"),
    "mlp": ("encoder.layers.0.mlp.fc1.weight", "visual.transformer.0.mlp.0.weight"),
}
BLOCKS = {
    "dit": ("blocks", "blocks"),
    "control": ("vace_blocks", "vace_blocks"),
    "text_encoder": ("encoder.block", "blocks"),
    PICTURE_ENCODER: ("encoder.layers", "visual.transformer"),
}


def dit_config(shapes: Shapes, layout: str, picture: PictureConfig | None) -> DiTConfig:
    """Infer the config of a transformer.

    Args:
      shapes: of its tensors by name.
      layout: of the names.
      picture: the encoder of pictures, if it reads a context of them.
    """
    which = LAYOUTS.index(layout)
    part = functools.partial(_shape, "transformer", shapes)
    width, channels_in, *patch = part("patch_embedding.weight", 5)
    _, time_features = part(DIT["time"][which], 2)
    text_width = context_width(shapes, layout, "text")
    mlp, _ = part(DIT["mlp"][which], 2)
    channels = latent_channels(shapes, layout)
    depth = _depth("dit", shapes, which)
    control, control_channels = _depth("control", shapes, which), 0
    if control:
        control_channels = part("vace_patch_embedding.weight", 5)[1]
    positions = 0
    if DIT["positions"][which] in shapes:
        positions = part(DIT["positions"][which], 3)[1]
    return DiTConfig(
        channels=channels,
        extra_channels=channels_in - channels,
        patch=(patch[0], patch[1], patch[2]),
        width=width,
        depth=depth,
        heads=max(1, width // HEAD),
        mlp=mlp,
        time_features=time_features,
        contexts=contexts_of(text_width, picture and picture.width),
        picture_positions=positions,
        control_channels=control_channels,
        # Evenly spaced in all models (VACE, arXiv 2503.07598).
        control_layers=tuple(range(0, depth, -(-depth // control)) if control else ()),
    )


def latent_channels(shapes: Shapes, layout: str) -> int:
    """Return the channels of the latents that a transformer makes."""
    _, _, *patch = _shape("transformer", shapes, "patch_embedding.weight", 5)
    head = DIT["head"][LAYOUTS.index(layout)]
    return _shape("transformer", shapes, head, 2)[0] // math.prod(patch)


def context_width(shapes: Shapes, layout: str, context: str) -> int:
    """Return the features of a context that a transformer reads."""
    name = DIT[context][LAYOUTS.index(layout)]
    return _shape("transformer", shapes, name, 2)[1]


def reads_pictures(shapes: Shapes, layout: str) -> bool:
    """Return whether a transformer has a context of pictures."""
    return DIT["picture"][LAYOUTS.index(layout)] in shapes


def vae_config(shapes: Shapes, layout: str) -> VAEConfig:
    """Infer the config of a VAE."""
    which = LAYOUTS.index(layout)
    part = functools.partial(_shape, "vae", shapes)
    width, pixels = part(VAE["encoder"][which], 5)[:2]
    channels = part(VAE["latents"][which], 5)[0]
    last = part(VAE["decoder"][which], 5)[1]
    kind = models.VAE_22 if pixels > 3 else models.VAE_21
    return dataclasses.replace(
        kind, channels=channels, encoder_width=width, decoder_width=last
    )


def text_config(shapes: Shapes, layout: str, pad_to: int) -> TextConfig:
    """Infer the config of a umT5 encoder."""
    which = LAYOUTS.index(layout)
    part = functools.partial(_shape, "text_encoder", shapes)
    vocabulary, width = part(TEXT["embedding"][which], 2)
    buckets, heads = part(TEXT["bias"][which], 2)
    inner, _ = part(TEXT["query"][which], 2)
    mlp, _ = part(TEXT["mlp"][which], 2)
    depth = _depth("text_encoder", shapes, which)
    # T5's layers share the positions of the first one, and umT5's do not.
    part(TEXT["bias"][which].replace(".0.", f".{depth - 1}.", 1), 2)
    return dataclasses.replace(
        models.UMT5_XXL,
        vocabulary=vocabulary,
        width=width,
        depth=depth,
        heads=heads,
        head_dim=inner // heads,
        mlp=mlp,
        buckets=buckets,
        pad_to=pad_to,
    )


def picture_config(shapes: Shapes, layout: str) -> PictureConfig:
    """Infer the config of CLIP's vision tower; its layout tells how pictures fit."""
    which = LAYOUTS.index(layout)
    part = functools.partial(_shape, PICTURE_ENCODER, shapes)
    width, _, patch, _ = part(PICTURE["embed"][which], 4)
    states = part(PICTURE["positions"][which], (2, 3)[which])[-2]
    mlp, _ = part(PICTURE["mlp"][which], 2)
    return dataclasses.replace(
        models.CLIP_H,
        width=width,
        depth=_depth(PICTURE_ENCODER, shapes, which),
        heads=max(1, width // CLIP_HEAD),
        mlp=mlp,
        patch=patch,
        size=patch * math.isqrt(states - 1),
        fit=("crop", "squash")[which],
    )


def latent_statistics(vae: VAEConfig) -> dict[str, Sequence[float]]:
    """Look up mean and standard deviation of the latents, which the files lack.

    Raises:
      ValueError: the VAE is not one of the published ones.
    """
    mean, std = models.LATENTS_22 if vae.shortcuts else models.LATENTS_21
    if len(mean) != vae.channels:
        raise ValueError(
            f"vae: the latents' mean and deviation are known for {len(mean)} "
            f"channels, got {vae.channels}: give the folder in diffusers' layout, "
            "whose vae/config.json holds them"
        )
    return {"latent_mean": mean, "latent_std": std}


def _depth(network: str, shapes: Mapping[str, object], which: int) -> int:
    """Count the blocks of a network.

    Raises:
      ValueError: there are more than any network has.
    """
    pattern = re.compile(re.escape(BLOCKS[network][which]) + r"\.(\d+)\.")
    depth = len({found[1] for name in shapes if (found := pattern.match(name))})
    if depth > limits.LAYERS:
        raise ValueError(
            f"{network} has {depth} layers, more than {limits.LAYERS}: this is not one "
            "of Wan's"
        )
    return depth


def _shape(network: str, shapes: Shapes, name: str, axes: int) -> tuple[int, ...]:
    """Return the shape of a tensor, to infer sizes from.

    Raises:
      ValueError: it is missing, or its axes are out of bounds.
    """
    if name not in shapes:
        raise ValueError(f"{network}: {name!r} is missing: this is not one of Wan's")
    shape = shapes[name]
    if len(shape) != axes or not all(1 <= size <= limits.FEATURES for size in shape):
        raise ValueError(
            f"{network}: {name} must have {axes} axes of 1 to {limits.FEATURES}, got "
            f"{files.quoted(list(shape))}: this is not one of Wan's"
        )
    return shape

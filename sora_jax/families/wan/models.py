"""Wan's published models as data (sizes: Wan 2.1 report, arXiv 2503.20314, and code).

Defaults are the publishers' own, those of their `generate.py` and model cards.
"""

from __future__ import annotations

import dataclasses

from sora_jax.config.causal import CausalConfig
from sora_jax.config.encoders import PictureConfig, TextConfig
from sora_jax.config.models import DiTConfig, VAEConfig
from sora_jax.config.recipes import recipe_settings
from sora_jax.config.sampling import SamplingConfig
from sora_jax.config.weights import Conditioning, ModelConfig

# The publishers' negative prompt.
NEGATIVE = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，"
    "最差质量，低质量，JPEG压缩残留，丑陋的，残缺的，多余的手指，画得不好的手部，"
    "画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，"
    "杂乱的背景，三条腿，背景人很多，倒着走"
)

UMT5_XXL = TextConfig(
    vocabulary=256_384,
    width=4096,
    depth=24,
    heads=64,
    head_dim=64,
    mlp=10_240,
    pad_to=512,
)

VAE_21 = VAEConfig(
    patch=1,
    channels=16,
    encoder_width=96,
    decoder_width=96,
    multipliers=(1, 2, 4, 4),
    blocks=2,
    stages=((1, 2), (2, 2), (2, 2)),
    shortcuts=False,
    temporal_padding="zeros",
    dtype="float32",
)

VAE_22 = dataclasses.replace(
    VAE_21,
    patch=2,
    channels=48,
    encoder_width=160,
    decoder_width=256,
    shortcuts=True,
)


# The vision tower of OpenCLIP's xlm-roberta-large ViT-H/14.
CLIP_H = PictureConfig()
# The conditioning channels of image-to-video: a mask for each frame, and latents.
IMAGE_CHANNELS = 20


def dit(
    width: int, depth: int, heads: int, mlp: int, channels: int = 16, extra: int = 0
) -> DiTConfig:
    """Build the config of a Wan transformer whose only context is text."""
    return DiTConfig(
        channels=channels,
        extra_channels=extra,
        width=width,
        depth=depth,
        heads=heads,
        mlp=mlp,
        contexts=(("text", UMT5_XXL.width),),
    )


WAN21_1B3 = ModelConfig(
    name="wan21_1b3",
    vae=VAE_21,
    dit=dit(width=1536, depth=30, heads=12, mlp=8960),
    text=UMT5_XXL,
    sampling=SamplingConfig(
        steps=50,
        guidance=6.0,
        shift=8.0,
        frames=81,
        size=(480, 832),
        fps=16.0,
        negative_prompt=NEGATIVE,
    ),
    fps=None,
    conditioning="nothing",
)

# Self-Forcing's student; it was trained on videos of 21 latents.
WAN21_1B3_CAUSAL = dataclasses.replace(
    WAN21_1B3,
    name="wan21_1b3_causal",
    sampling=SamplingConfig(
        **recipe_settings("self_forcing"),
        frames=81,
        size=(480, 832),
        fps=16.0,
        context=33,
    ),
    conditioning="tokens",
    causal=CausalConfig(block=3, window=21),
)

WAN21_14B = dataclasses.replace(
    WAN21_1B3,
    name="wan21_14b",
    dit=dit(width=5120, depth=40, heads=40, mlp=13_824),
    sampling=dataclasses.replace(
        WAN21_1B3.sampling, guidance=5.0, shift=5.0, size=(720, 1280)
    ),
)

WAN22_5B = dataclasses.replace(
    WAN21_14B,
    name="wan22_5b",
    vae=VAE_22,
    dit=dit(width=3072, depth=30, heads=24, mlp=14_336, channels=48),
    sampling=dataclasses.replace(
        WAN21_14B.sampling, frames=121, size=(704, 1280), fps=24.0
    ),
    conditioning="tokens",
)

WAN22_A14B = dataclasses.replace(
    WAN21_14B,
    name="wan22_a14b",
    sampling=dataclasses.replace(
        WAN21_14B.sampling, steps=40, guidance=4.0, guidance_low=3.0, shift=12.0
    ),
    boundary=0.875,
)

IMAGE_DIT = dataclasses.replace(WAN21_14B.dit, extra_channels=IMAGE_CHANNELS)

# A window continues the one before from its last frame alone.
WAN21_I2V_14B = dataclasses.replace(
    WAN21_14B,
    name="wan21_i2v_14b",
    dit=dataclasses.replace(
        IMAGE_DIT, contexts=(("text", UMT5_XXL.width), ("picture", CLIP_H.width))
    ),
    picture=CLIP_H,
    sampling=dataclasses.replace(
        WAN21_14B.sampling, steps=40, shift=3.0, size=(480, 832), context=1
    ),
    conditioning="channels",
    keyframes=((0,),),
)

WAN21_FLF2V_14B = dataclasses.replace(
    WAN21_I2V_14B,
    name="wan21_flf2v_14b",
    dit=dataclasses.replace(WAN21_I2V_14B.dit, picture_positions=2 * CLIP_H.states),
    sampling=dataclasses.replace(
        WAN21_I2V_14B.sampling, steps=50, shift=16.0, size=(720, 1280)
    ),
    keyframes=((0, -1),),
)

WAN22_I2V_A14B = dataclasses.replace(
    WAN22_A14B,
    name="wan22_i2v_a14b",
    dit=IMAGE_DIT,
    sampling=dataclasses.replace(
        WAN22_A14B.sampling, guidance=3.5, guidance_low=3.5, shift=5.0, context=1
    ),
    boundary=0.9,
    conditioning="channels",
    keyframes=((0,), (0, -1)),
)

# VACE's channels: latents of what is kept and of what is to be made, and the mask.
CONTROL_CHANNELS = 2 * 16 + 64

WAN21_VACE_1B3 = dataclasses.replace(
    WAN21_1B3,
    name="wan21_vace_1b3",
    dit=dataclasses.replace(
        WAN21_1B3.dit,
        control_channels=CONTROL_CHANNELS,
        control_layers=tuple(range(0, 30, 2)),
    ),
    sampling=dataclasses.replace(WAN21_1B3.sampling, guidance=5.0, shift=16.0),
    conditioning="control",
)

WAN21_VACE_14B = dataclasses.replace(
    WAN21_VACE_1B3,
    name="wan21_vace_14b",
    dit=dataclasses.replace(
        WAN21_14B.dit,
        control_channels=CONTROL_CHANNELS,
        control_layers=tuple(range(0, 40, 5)),
    ),
    sampling=dataclasses.replace(WAN21_VACE_1B3.sampling, size=(720, 1280)),
)

_ALL = (WAN21_1B3, WAN21_1B3_CAUSAL, WAN21_14B, WAN21_I2V_14B, WAN21_FLF2V_14B)
_ALL += (WAN21_VACE_1B3, WAN21_VACE_14B, WAN22_5B, WAN22_A14B, WAN22_I2V_A14B)
MODELS = {model.name: model for model in _ALL}


def closest(
    dit: DiTConfig,
    conditioning: Conditioning,
    boundary: float | None,
    causal: CausalConfig | None = None,
) -> ModelConfig:
    """Return the most similar published model."""

    def unlike(model: ModelConfig) -> tuple[bool, bool, bool, bool, bool, int]:
        return (
            (model.causal is None) != (causal is None),
            len(model.dit.contexts) != len(dit.contexts),
            bool(model.dit.picture_positions) != bool(dit.picture_positions),
            model.conditioning != conditioning,
            (model.boundary is None) != (boundary is None),
            abs(model.dit.width - dit.width),
        )

    return min(MODELS.values(), key=unlike)


def keyframes_of(dit: DiTConfig) -> tuple[tuple[int, ...], ...]:
    """Return the frames that an image-to-video transformer was trained to be given."""
    if dit.picture_positions:
        return WAN21_FLF2V_14B.keyframes
    if "picture" in dict(dit.contexts):
        return WAN21_I2V_14B.keyframes
    return WAN22_I2V_A14B.keyframes if dit.extra_channels else ()


# (mean, standard deviation) of each latent channel: the original files of the VAEs do
# not hold them.
LATENTS_21 = (
    (
        *(-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508),
        *(0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921),
    ),
    (
        *(2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743),
        *(3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160),
    ),
)
LATENTS_22 = (
    (
        *(-0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557),
        *(-0.1382, 0.0542, 0.2813, 0.0891, 0.1570, -0.0098, 0.0375, -0.1825),
        *(-0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502),
        *(-0.2055, -0.0322, 0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.1230),
        *(-0.0313, -0.1649, 0.0117, 0.0723, -0.2839, -0.2083, -0.0520, 0.3748),
        *(0.0152, 0.1957, 0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667),
    ),
    (
        *(0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013),
        *(0.8158, 1.0344, 0.5894, 1.0901, 0.6885, 0.6165, 0.8454, 0.4978),
        *(0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659),
        *(0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999, 0.6866, 0.4093),
        *(0.5709, 0.6065, 0.6415, 0.4944, 0.5726, 1.2042, 0.5458, 1.6887),
        *(0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744),
    ),
)

"""Helios' published models as data (arXiv 2603.04379, model cards, diffusers' code).

All three have one architecture: Wan 2.1's 14B with patch embeddings of a history. What
a folder's scheduler and index say counts more than the levels of noise given here.
"""

from __future__ import annotations

import dataclasses

from sora_jax.config.history import ChunksConfig, HistoryConfig
from sora_jax.config.sampling import SamplingConfig
from sora_jax.config.weights import ModelConfig
from sora_jax.families.wan.models import UMT5_XXL, VAE_21, WAN21_14B

# The publishers' negative prompt.
NEGATIVE = (
    "Bright tones, overexposed, static, blurred details, subtitles, style, works, "
    "paintings, images, static, overall gray, worst quality, low quality, JPEG "
    "compression residue, ugly, incomplete, extra fingers, poorly drawn hands, poorly "
    "drawn faces, deformed, disfigured, misshapen limbs, fused fingers, still picture, "
    "messy background, three legs, many people in the background, walking backwards"
)

BASE = ModelConfig(
    name="helios_base",
    vae=VAE_21,
    dit=dataclasses.replace(WAN21_14B.dit, history=HistoryConfig()),
    text=UMT5_XXL,
    sampling=SamplingConfig(
        steps=50,
        guidance=5.0,
        shift=1.0,
        frames=129,
        size=(384, 640),
        fps=24.0,
        negative_prompt=NEGATIVE,
    ),
    fps=None,
    conditioning="history",
    chunks=ChunksConfig(grows="exponential"),
)

MID = dataclasses.replace(
    BASE,
    name="helios_mid",
    sampling=dataclasses.replace(BASE.sampling, steps=20),
    chunks=ChunksConfig(stages=3, grows="linear", zero_star=True),
)

DISTILLED = dataclasses.replace(
    BASE,
    name="helios_distilled",
    sampling=dataclasses.replace(
        BASE.sampling, solver="renoise", steps=2, guidance=1.0
    ),
    chunks=ChunksConfig(stages=3, grows="linear", doubles_first=True),
)

MODELS = {model.name: model for model in (BASE, MID, DISTILLED)}

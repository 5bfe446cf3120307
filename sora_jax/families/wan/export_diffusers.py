"""Write the JSON and tokenizer files of diffusers' layout.

Models that Wan's classes in `diffusers` and `transformers` can express are exported:
`diffusers.WanPipeline.from_pretrained(out)` then makes the same videos.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from flax import nnx

from sora_jax.config import ModelConfig, SamplingConfig
from sora_jax.families.family import Exporter
from sora_jax.families.wan import network_json, picture_json, scheduler
from sora_jax.families.wan.layouts import DIT_LOW, PICTURE_ENCODER
from sora_jax.families.wan.tokenizer_json import tokenizer_files
from sora_jax.models.dit import DiT
from sora_jax.models.picture_encoder import PictureEncoder
from sora_jax.models.text_encoder import TextEncoder
from sora_jax.models.tokenizer import Tokenizer
from sora_jax.models.vae import VAE
from sora_jax.types import PICTURE, TEXT

INDEX = "model_index.json"
# The file with fields that diffusers lacks, in exported folders.
EXTRAS = "sora_jax.json"
# By network: its folder, and the prefix of its file names.
NETWORKS = {
    "text_encoder": ("text_encoder", "model"),
    "dit": ("transformer", "diffusion_pytorch_model"),
    DIT_LOW: ("transformer_2", "diffusion_pytorch_model"),
    "vae": ("vae", "diffusion_pytorch_model"),
    PICTURE_ENCODER: ("image_encoder", "model"),
}
CLASSES = {
    "text_encoder": ["transformers", "UMT5EncoderModel"],
    "transformer": ["diffusers", "WanTransformer3DModel"],
    "transformer_2": ["diffusers", "WanTransformer3DModel"],
    "vae": ["diffusers", "AutoencoderKLWan"],
}


PICTURE_CLASSES = {
    "image_encoder": ["transformers", "CLIPVisionModel"],
    "image_processor": ["transformers", "CLIPImageProcessor"],
}
NONE = [None, None]
# By how given pixels enter; all others are `WanPipeline`.
PIPELINES = {"channels": "WanImageToVideoPipeline", "control": "WanVACEPipeline"}


def problems(config: ModelConfig) -> list[str]:
    """List what Wan's classes cannot express."""
    found = [
        line
        for section in ("dit", "vae", "text")
        for line in network_json.problems_for_wan(section, getattr(config, section))
    ]
    names = {name for name, _ in config.dit.contexts}
    if names - {PICTURE} != {TEXT}:
        found.append(
            f"dit.contexts must be text, and perhaps picture, got {sorted(names)}"
        )
    if config.vae.shortcuts and len(set(config.vae.multipliers[-2:])) > 1:
        found.append(
            "vae.multipliers must end in two equal ones for Wan's shortcuts, got "
            f"{config.vae.multipliers}"
        )
    if config.causal is not None:
        found.append(f"causal must be None for Wan's pipelines, got {config.causal}")
    if config.sampling.solver not in scheduler.SOLVERS.values():
        found.append(
            f"sampling.solver must be euler or unipc, got {config.sampling.solver}"
        )
    if config.sampling.sigmas:
        found.append(f"sampling.sigmas must be empty, got {config.sampling.sigmas}")
    return found


def files(config: ModelConfig, tokenizer: Tokenizer) -> dict[str, Any]:
    """Return tokenizer, scheduler, `sora_jax.json` and index by path."""
    contents, tokenizer_class = tokenizer_files(tokenizer, config.text.pad_to)
    scheduler_class, told = scheduler_json(config.sampling)
    extras = {"name": config.name, "fps": config.fps, "mid_clip": config.mid_clip}
    extras["keyframes"] = config.keyframes
    extras["sampling"] = dataclasses.asdict(config.sampling)
    pictures = {}
    if config.picture is not None:
        path = "image_processor/preprocessor_config.json"
        pictures[path] = picture_json.processor_json(config.picture)
    return {
        **{f"tokenizer/{name}": content for name, content in contents.items()},
        **pictures,
        "scheduler/scheduler_config.json": told,
        EXTRAS: extras,
        INDEX: index_json(config, tokenizer_class, scheduler_class),
    }


def config_json(module: VAE | DiT | TextEncoder | PictureEncoder) -> dict[str, Any]:
    """Return the config of a network for Wan's classes."""
    if isinstance(module, VAE):
        mean, std = decimals(module.latent_mean), decimals(module.latent_std)
        return network_json.vae_json(module.config, mean, std)
    if isinstance(module, DiT):
        return network_json.dit_json(module.config)
    if isinstance(module, PictureEncoder):
        return picture_json.picture_json(module.config)
    return network_json.text_json(module.config)


def decimals(values: nnx.Variable) -> list[float]:
    """Return numbers in their shortest exact form, for readability."""
    return [float(str(value)) for value in np.asarray(values[...], np.float32)]


def scheduler_json(sampling: SamplingConfig) -> tuple[str, dict[str, Any]]:
    """Return the solver's class and config."""
    names = {solver: name for name, solver in scheduler.SOLVERS.items()}
    name = names[sampling.solver]
    data = {"_class_name": name, "num_train_timesteps": 1000}
    if sampling.solver == "euler":
        return name, data | {"shift": sampling.shift}
    return name, data | {
        "flow_shift": sampling.shift,
        "prediction_type": "flow_prediction",
        "use_flow_sigmas": True,
        "solver_order": 2,
        "solver_type": "bh2",
        "predict_x0": True,
        "lower_order_final": True,
        "final_sigmas_type": "zero",
    }


def index_json(
    config: ModelConfig, tokenizer_class: str, scheduler_class: str
) -> dict[str, Any]:
    """Return the pipeline's index: classes, and the boundary of its transformers."""
    from_image = config.conditioning == "channels"
    index: dict[str, Any] = {
        "_class_name": PIPELINES.get(config.conditioning, "WanPipeline"),
        "boundary_ratio": config.boundary,
        "expand_timesteps": config.conditioning == "tokens",
        "tokenizer": ["transformers", tokenizer_class],
        "scheduler": ["diffusers", scheduler_class],
        **CLASSES,
    }
    if config.dit.control_layers:
        for name in ("transformer", "transformer_2"):
            index[name] = ["diffusers", "WanVACETransformer3DModel"]
    if config.boundary is None:
        index["transformer_2"] = NONE
    if from_image:
        index |= dict.fromkeys(PICTURE_CLASSES, NONE)
        if config.picture is not None:
            index |= PICTURE_CLASSES
    return index


EXPORTER = Exporter(
    problems=problems, files=files, networks=NETWORKS, network_json=config_json
)

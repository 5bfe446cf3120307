"""Open a folder of weights as a model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import get_args

from sora_jax import files
from sora_jax.config import SAMPLING_MESH, MeshConfig, Quantization
from sora_jax.limits import LIMITS, Limits
from sora_jax.sampling import converters
from sora_jax.sampling.model import Model
from sora_jax.sampling.rewording import Expander
from sora_jax.weights import adapter_recipes, bundle, folders
from sora_jax.weights.adapter_paths import parse_lora
from sora_jax.weights.applied_adapters import with_adapters
from sora_jax.weights.places import Place, WeightsFiles, base_of


def load(
    folder: Place = bundle.ASSETS,
    mesh: MeshConfig = SAMPLING_MESH,
    *,
    limits: Limits = LIMITS,
    expander: Expander | None = None,
    rewords: bool = True,
    loras: Sequence[str] = (),
    quantization: Quantization = "none",
) -> Model:
    """Load a model; without a folder, the one that ships with the package.

    Args:
      folder: weights of sora_jax or of Wan, the file of one of Wan's transformers, or
        `sora_jax.WeightsFiles`.
      mesh: how devices shard the weights and each video.
      limits: of requests; `sora_jax.limits.UNLIMITED` lifts them.
      expander: see `Model`.
      rewords: see `Model`.
      loras: adapters, "FILE" or "FILE:SCALE" each, behind "high:" or "low:" where
        there are two transformers; prompts are then read as they are.
      quantization: "int8" or "fp8" keeps the linear maps of the layers in 8 bits, which
        halves memory and rounds weights; adapters then lie beside the kernels.

    Raises:
      ValueError: an argument is of a wrong type, the folder does not exist, or a file
        in it is missing or damaged.
    """
    if not isinstance(folder, (str, os.PathLike, WeightsFiles)):
        raise converters.argument_error("folder", "a path", folder)
    if not isinstance(mesh, MeshConfig):
        raise converters.argument_error("mesh", "a sora_jax.config.MeshConfig", mesh)
    if not isinstance(limits, Limits):
        raise converters.argument_error("limits", "sora_jax.limits.Limits", limits)
    if quantization not in get_args(Quantization):
        kinds = " or ".join(map(repr, get_args(Quantization)))
        raise converters.argument_error("quantization", kinds, quantization)
    if not isinstance(rewords, bool):
        raise converters.argument_error("rewords", "True or False", rewords)
    files.located(base_of(folder), "folder")
    asked = [parse_lora(lora, "loras") for lora in loras]
    weights = folders.load_weights(folder, mesh=mesh, quantization=quantization)
    weights = with_adapters(weights, asked)
    hints = adapter_recipes.suggestions(asked)
    return Model(
        weights, limits=limits, expander=expander, rewords=rewords, hints=hints
    )

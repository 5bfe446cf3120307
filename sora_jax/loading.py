"""`sora_jax.load`: a model, with the prompt expander of its weights."""

from __future__ import annotations

from collections.abc import Sequence

from sora_jax.config import SAMPLING_MESH, MeshConfig, Quantization
from sora_jax.expander import DefaultExpander
from sora_jax.limits import LIMITS, Limits
from sora_jax.sampling import opening
from sora_jax.sampling.model import Model
from sora_jax.weights import bundle
from sora_jax.weights.places import Place


def load(
    folder: Place = bundle.ASSETS,
    mesh: MeshConfig = SAMPLING_MESH,
    *,
    limits: Limits = LIMITS,
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
      rewords: whether to rewrite prompts in the vocabulary of the model's captions,
        where the meaning is known to stay the same; changes are reported.
      loras: adapters, "PATH" or "PATH:SCALE" each, behind "high:" or "low:" where
        there are two transformers.
      quantization: "int8" or "fp8" keeps the linear maps of the layers in 8 bits, which
        halves memory and rounds weights; adapters then lie beside the kernels.

    Raises:
      ValueError: an argument is of a wrong type, the folder does not exist, or a file
        in it is missing or damaged.
    """
    expander = DefaultExpander()
    return opening.load(
        folder,
        mesh,
        limits=limits,
        expander=expander,
        rewords=rewords,
        loras=loras,
        quantization=quantization,
    )

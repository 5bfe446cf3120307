"""Write weights in diffusers' layout: `python -m sora_jax.weights.export`.

What Wan's classes in `diffusers` and `transformers` can express is written for them:
`diffusers.WanPipeline.from_pretrained(out)` then makes the same videos.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import safetensors.numpy
from etils import epath
from flax import nnx

from sora_jax import cli
from sora_jax.config import ModelConfig, SamplingConfig
from sora_jax.families.table import Entry
from sora_jax.families.wan import layout_diffusers, network_json, scheduler
from sora_jax.families.wan.tokenizer_json import tokenizer_files
from sora_jax.files import located
from sora_jax.models.dit import DiT
from sora_jax.models.text_encoder import TextEncoder
from sora_jax.models.vae import VAE
from sora_jax.weights import folders, safetensors_io, transfer
from sora_jax.weights.bundle import ASSETS, parameters
from sora_jax.weights.network import MODULES
from sora_jax.weights.parts import DIT_LOW, Weights
from sora_jax.workdir import write_bytes, write_json

SHARD_BYTES = 2 * 2**30
Module = VAE | DiT | TextEncoder
# Our names of the networks, their folders, and how their files begin.
NETWORKS = {
    "text_encoder": ("text_encoder", "model"),
    "dit": ("transformer", "diffusion_pytorch_model"),
    DIT_LOW: ("transformer_2", "diffusion_pytorch_model"),
    "vae": ("vae", "diffusion_pytorch_model"),
}
CLASSES = {
    "text_encoder": ["transformers", "UMT5EncoderModel"],
    "transformer": ["diffusers", "WanTransformer3DModel"],
    "transformer_2": ["diffusers", "WanTransformer3DModel"],
    "vae": ["diffusers", "AutoencoderKLWan"],
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """Write weights for diffusers."""

    # The folder to write; it must be empty, or not be there yet.
    out: str
    # A folder of weights; by default those that ship with the package.
    weights: str | None = None


def export(out: str, weights: Weights) -> None:
    """Write a folder in diffusers' layout; `model_index.json` comes last.

    Raises:
      ValueError: the folder is not empty, or Wan's classes cannot express the model;
        names every field.
    """
    where = located(out, "--out")
    if where.exists() and any(where.iterdir()):
        raise ValueError(f"--out {out!r} is not empty: name another folder")
    config = weights.config
    refuse_inexpressible(config)
    files, tokenizer_class = tokenizer_files(weights.tokenizer, config.text.pad_to)
    for name, content in files.items():
        write_bytes(where / "tokenizer" / name, content)
    scheduler_class, told = scheduler_json(config.sampling)
    write_json(where / "scheduler" / "scheduler_config.json", told)
    for name, (folder, begins) in NETWORKS.items():
        if name in weights.parts.loaders:
            write_network(where / folder, begins, weights.parts[name])
    ours = {"name": config.name, "fps": config.fps, "mid_clip": config.mid_clip}
    ours["sampling"] = dataclasses.asdict(config.sampling)
    write_json(where / layout_diffusers.OURS, ours)
    index = index_json(config, tokenizer_class, scheduler_class)
    write_json(where / layout_diffusers.INDEX, index)


def refuse_inexpressible(config: ModelConfig) -> None:
    """Name what Wan's classes have no field for.

    Raises:
      ValueError: lists them all.
    """
    problems = [
        line
        for section in ("dit", "vae", "text")
        for line in network_json.problems_for_wan(section, getattr(config, section))
    ]
    names = [name for name, _ in config.dit.contexts]
    if names != ["text"]:
        problems.append(f"dit.contexts must be text alone, got {names}")
    if config.vae.shortcuts and len(set(config.vae.multipliers[-2:])) > 1:
        problems.append(
            "vae.multipliers must end in two equal ones for Wan's shortcuts, got "
            f"{config.vae.multipliers}"
        )
    if config.sampling.solver == "heun":
        problems.append("sampling.solver must be euler or unipc, got heun")
    if problems:
        raise ValueError(
            f"the model {config.name} cannot be exported:\n" + "\n".join(problems)
        )


def write_network(where: epath.Path, begins: str, module: Module) -> None:
    """Write a network's config and its tensors."""
    table = MODULES[type(module.config)][1](module.config, "diffusers")
    values = safetensors_io.flatten(parameters(module))
    write_tensors(where, begins, table, values, values)
    write_json(where / "config.json", network_json(module))


def write_tensors(
    where: epath.Path,
    begins: str,
    table: Sequence[Entry],
    shapes: Mapping[str, Any],
    values: Mapping[str, Any],
) -> None:
    """Write tensors in as many files as their size asks for, and then an index.

    Args:
      where: the folder.
      begins: how the names of the files begin.
      table: the tensors.
      shapes: shape and dtype of our parameters by path.
      values: our parameters by path; each is asked for when its file is written.
    """
    groups = shards_of(table, shapes, SHARD_BYTES)
    count, total, listed = len(groups), 0, {}
    for i, group in enumerate(groups, start=1):
        part = f"-{i:05}-of-{count:05}" if count > 1 else ""
        tensors = dict(transfer.export(group, values))
        content = safetensors.numpy.save(tensors, metadata={"format": "pt"})
        write_bytes(where / f"{begins}{part}.safetensors", content)
        listed |= dict.fromkeys(tensors, f"{begins}{part}.safetensors")
        total += sum(tensor.nbytes for tensor in tensors.values())
    if count > 1:
        index = {"metadata": {"total_size": total}, "weight_map": listed}
        write_json(where / f"{begins}.safetensors.index.json", index)


def shards_of(
    table: Sequence[Entry], shapes: Mapping[str, Any], most: int
) -> list[list[Entry]]:
    """Split a table so that no part's tensors take more than so many bytes."""
    groups: list[list[Entry]] = [[]]
    room = most
    # Those of one parameter side by side, since they are fetched together.
    for entry in sorted(table, key=lambda entry: entry.path):
        ours = shapes[entry.path]
        size = math.prod(entry.their_shape(ours.shape)) * ours.dtype.itemsize
        if size > room and groups[-1]:
            groups.append([])
            room = most
        groups[-1].append(entry)
        room -= size
    return groups


def network_json(module: Module) -> dict[str, Any]:
    """The config of a network as Wan's classes read it."""
    if isinstance(module, VAE):
        mean, std = decimals(module.latent_mean), decimals(module.latent_std)
        return network_json.write_vae(module.config, mean, std)
    if isinstance(module, DiT):
        return network_json.write_dit(module.config)
    return network_json.write_text(module.config)


def decimals(values: nnx.Variable) -> list[float]:
    """Numbers as short as they can be told, as a config is read by people too."""
    return [float(str(value)) for value in np.asarray(values[...], np.float32)]


def scheduler_json(sampling: SamplingConfig) -> tuple[str, dict[str, Any]]:
    """The solver's class and config."""
    names = {ours: theirs for theirs, ours in scheduler.SOLVERS.items()}
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
    """The pipeline: which classes, and how its transformers share the work."""
    from_image = config.conditioning == "channels"
    index: dict[str, Any] = {
        "_class_name": "WanImageToVideoPipeline" if from_image else "WanPipeline",
        "boundary_ratio": config.boundary,
        "expand_timesteps": config.conditioning == "tokens",
        "tokenizer": ["transformers", tokenizer_class],
        "scheduler": ["diffusers", scheduler_class],
        **CLASSES,
    }
    if config.boundary is None:
        index["transformer_2"] = [None, None]
    if from_image:
        index |= {"image_encoder": [None, None], "image_processor": [None, None]}
    return index


def main(argv: Sequence[str]) -> None:
    """Load, refuse or write, and say where."""
    arguments = cli.parse(Arguments, argv)
    located(arguments.out, "--out")
    folder = located(arguments.weights or ASSETS, "--weights")
    weights = folders.load(folder, exact=True)
    export(arguments.out, weights)
    cli.say(arguments.out)


if __name__ == "__main__":
    with cli.exits("stopped; --out is not whole without its model_index.json"):
        main(sys.argv[1:])

"""The sora_jax layout of a weights folder, which `publish` writes.

config.json         which family and networks, of which size, with which sampling
                    defaults, and a hash of each of the other files
<network>.safetensors  of each network of the family (vae, dit, text_encoder)
tokenizer.model
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import jax
from etils import epath
from flax import nnx

from sora_jax import files, hashes, sharding
from sora_jax.config import (
    ModelConfig,
    Quantization,
    VAEConfig,
    from_json,
    resolve_dtypes,
)
from sora_jax.families import FAMILIES, OURS, Family
from sora_jax.files import PathLike
from sora_jax.models.tokenizer import Tokenizer
from sora_jax.models.vae import VAE
from sora_jax.nn.quantized import quantize
from sora_jax.sharding import SINGLE_DEVICE, MeshPlan
from sora_jax.weights import safetensors_io
from sora_jax.weights.descriptions import (
    exists,
    read_description,
    refuse_changed,
    write_description,
)
from sora_jax.weights.downloads import download_hint
from sora_jax.weights.model_weights import Weights, weights_in_memory
from sora_jax.weights.modules import abstract_of, parameters
from sora_jax.workdir import write_bytes

M = TypeVar("M", bound=nnx.Module)

ASSETS = epath.resource_path("sora_jax") / "assets"
TOKENIZER = "tokenizer.model"


def load(
    folder: PathLike = ASSETS,
    mesh_plan: MeshPlan = SINGLE_DEVICE,
    quantization: Quantization = "none",
) -> Weights:
    """Load a folder of weights, onto a mesh if there is one.

    Args:
      folder: of weights.
      mesh_plan: placement of the parameters.
      quantization: how the linear maps of layers are kept in memory.

    Raises:
      ValueError: the folder is not one, or a file in it is missing or damaged.
    """
    family, config = describe_family(folder)
    where = epath.Path(folder)
    needed = (*map(file_of, family.used(config)), TOKENIZER)
    missing = [name for name in needed if not exists(where, name)]
    if missing:
        raise ValueError(
            f"weights folder {str(folder)!r} lacks {missing}: copy it again, or export "
            "it again with python -m sora_jax.weights.publish"
        )
    networks = {
        name: quantize(load_network(folder, name, mesh_plan), quantization)
        for name in family.used(config)
    }
    config = dataclasses.replace(config, quantization=quantization)
    weights = weights_in_memory(
        config, load_tokenizer(folder), family=family, **networks
    )
    return dataclasses.replace(weights, digest=digest(folder), mesh_plan=mesh_plan)


def load_network(
    folder: PathLike, name: str, mesh_plan: MeshPlan = SINGLE_DEVICE
) -> nnx.Module:
    """Load one network of a folder, onto a mesh if there is one."""
    family, config = describe_family(folder)
    refuse_changed(folder, file_of(name))
    config = resolve_dtypes(config, mesh_plan.platform)
    build = family.networks[name].build(config)
    return load_module(epath.Path(folder) / file_of(name), build, mesh_plan)


def file_of(name: str) -> str:
    """Return the file name of a network."""
    return f"{name}.safetensors"


def load_tokenizer(folder: PathLike) -> Tokenizer:
    """Load the tokenizer of a folder of weights, or of encoded clips."""
    refuse_changed(folder, TOKENIZER)
    return Tokenizer.load(epath.Path(folder) / TOKENIZER)


def digest(folder: PathLike) -> str:
    """Hash the files of the networks."""
    where = epath.Path(folder)
    family, config = describe_family(folder)
    names = map(file_of, family.used(config))
    return "-".join(safetensors_io.file_hash(where / name)[:8] for name in names)


def save(folder: PathLike, weights: Weights, dtype: str = "bfloat16") -> None:
    """Write a folder of weights; `config.json` last, which completes it."""
    where = epath.Path(folder)
    kept = {TOKENIZER: hashes.of_bytes(weights.tokenizer.model)}
    for name in weights.family.used(weights.config):
        content = safetensors_io.serialize(parameters(weights.networks[name]), dtype)
        kept[file_of(name)] = hashes.of_bytes(content)
        write_bytes(where / file_of(name), content)
    weights.tokenizer.save(where / TOKENIZER)
    config = dataclasses.asdict(weights.config)
    kind = {"format": "sora_jax", "family": weights.family.name}
    write_description(where / "config.json", {**kind, **config}, kept)


def save_vae(folder: PathLike, vae: VAE, config: VAEConfig) -> None:
    """Write a folder with only a VAE, in float32.

    Args:
      folder: to write.
      vae: the VAE.
      config: its config, whose dtype another platform may resolve otherwise.
    """
    where, name = epath.Path(folder), "vae.safetensors"
    content = safetensors_io.serialize(parameters(vae), dtype=None)
    kept = {name: hashes.of_bytes(content)}
    # The tensors are written last: they complete the folder.
    write_description(where / "vae.json", dataclasses.asdict(config), kept)
    write_bytes(where / name, content)


def save_tokenizer(folder: PathLike, tokenizer: Tokenizer) -> None:
    """Write a tokenizer beside a VAE of `save_vae`."""
    path = epath.Path(folder) / "vae.json"
    data, kept = read_description(path)
    kept[TOKENIZER] = hashes.of_bytes(tokenizer.model)
    write_description(path, data, kept)
    tokenizer.save(epath.Path(folder) / TOKENIZER)


def describe(folder: PathLike) -> ModelConfig:
    """Read the description of a weights folder; see `describe_family`."""
    return describe_family(folder)[1]


def describe_family(folder: PathLike) -> tuple[Family, Any]:
    """Read the family and the config of a weights folder.

    Raises:
      ValueError: it has no config, or one of another format or version.
    """
    path = epath.Path(folder) / "config.json"
    if not path.parent.is_dir():
        hint = download_hint(str(folder))
        raise ValueError(
            f"weights folder {str(folder)!r} is no folder: check the name{hint}"
        )
    if not path.exists():
        raise ValueError(
            f"weights folder {str(folder)!r} has neither model_index.json nor "
            "config.json: give a weights folder of sora_jax or of Wan"
        )
    config, _ = read_description(path)
    kind = config.pop("format", None)
    if kind != "sora_jax":
        raise ValueError(
            f"{path} does not describe sora_jax weights (its 'format' is {kind!r}); of "
            "a download in diffusers' layout, give the folder with model_index.json"
        )
    # Version 0.1 knew one family.
    name = config.pop("family", OURS.name)
    families = {family.name: family for family in FAMILIES}
    if not isinstance(name, str) or name not in families:
        raise ValueError(
            f"{path}: family must be one of {', '.join(families)}, got "
            f"{files.quoted(name)}: update sora_jax, or copy the folder again"
        )
    family = families[name]
    return family, from_json(family.config, config, whole=True)


def load_module(
    path: PathLike,
    make: Callable[[nnx.Rngs], M],
    mesh_plan: MeshPlan = SINGLE_DEVICE,
) -> M:
    """Build a module with the parameters of a file, on a mesh if there is one."""
    graphdef, abstract = abstract_of(make)
    if mesh_plan.is_sharded:
        module = nnx.eval_shape(lambda: make(nnx.Rngs(0)))
        placed = sharding.parameter_shardings(module, mesh_plan)
        abstract = jax.tree.map(
            lambda x, where: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where),
            abstract,
            placed,
        )
    return nnx.merge(graphdef, safetensors_io.load_tensors(path, abstract))

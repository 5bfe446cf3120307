"""Open any weights: folders of sora_jax or in a layout of a family, or single files.

The files determine the kind. All headers are checked before any tensor is read.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from flax import nnx

from sora_jax import files, memory, sharding
from sora_jax.config import (
    RULES,
    SAMPLING_MESH,
    MeshConfig,
    ModelConfig,
    Quantization,
)
from sora_jax.families import FAMILIES, Family
from sora_jax.models.tokenizer import Tokenizer, check_file
from sora_jax.sharding import SINGLE_DEVICE, MeshPlan
from sora_jax.weights import bundle, single_files
from sora_jax.weights.model_weights import LazyNetworks, Weights
from sora_jax.weights.places import Place, WeightsFiles, base_of
from sora_jax.weights.stored_model import StoredModel, open_model

SUFFIX = ".safetensors"  # of a transformer's file, in place of a folder


def describe(folder: Place, insisted: str | None = None) -> ModelConfig:
    """Read the model config of a folder from its configs and headers.

    Args:
      folder: of weights, or files.
      insisted: name of the model that it must hold.

    Raises:
      ValueError: it is not a weights folder, or holds another model.
    """
    family, config = describe_family(folder)
    if insisted is not None:
        check_model_name(folder, insisted, family, config)
    return config


def describe_family(folder: Place) -> tuple[Family, Any]:
    """Read the family and the model config of a folder; see `describe`."""
    stored = find_stored_model(folder)
    if stored is None:
        found = bundle.describe_family(base_of(folder))
        check_file(files.located(base_of(folder), "weights") / bundle.TOKENIZER)
        return found
    stored.check()
    return stored.family, stored.config


def check_model_name(
    folder: Place, insisted: str, family: Family, config: ModelConfig
) -> None:
    """Check that a model is the one requested by name.

    Raises:
      ValueError: describes both.
    """
    models = {
        name: (one, model) for one in FAMILIES for name, model in one.models.items()
    }
    if insisted not in models:
        raise ValueError(f"model must be one of {', '.join(models)}, got {insisted!r}")
    if config.name != insisted:
        wanted, model = models[insisted]
        raise ValueError(
            f"model {insisted!r} has {wanted.summary(model)}; "
            f"{os.fspath(base_of(folder))!r} holds {config.name!r}, "
            f"{family.summary(config)}: give other --weights"
        )


def load_weights(
    folder: Place,
    *,
    mesh: MeshConfig = SAMPLING_MESH,
    exact: bool = False,
    quantization: Quantization = "none",
) -> Weights:
    """Open a folder of weights; networks in a family's layout load on first use.

    Args:
      folder: of weights, or files.
      mesh: how devices shard the weights and each video.
      exact: keep the dtypes of the files, even above the compute dtype.
      quantization: how the linear maps of layers are kept in memory.

    Raises:
      ValueError: the folder does not exist, a file is missing or damaged, the largest
        network does not fit into memory, or the mesh does not match the devices.
    """
    stored = find_stored_model(folder)
    if stored is None:
        family, config = bundle.describe_family(base_of(folder))
    else:
        family, config = stored.family, stored.config
    devices = sharding.make_mesh(dataclasses.asdict(mesh), heads=family.heads(config))
    mesh_plan = MeshPlan(devices, RULES) if devices.size > 1 else SINGLE_DEVICE
    if stored is None:
        return bundle.load(base_of(folder), mesh_plan, quantization)
    stored.check()
    networks = {
        name: dataclasses.replace(network, quantization=quantization)
        for name, network in stored.networks.items()
    }
    sizes = {name: part.bytes(mesh_plan, exact) for name, part in networks.items()}
    keep = memory.fits_together(sizes, mesh_plan)
    loaders = {
        name: lambda network=network: network.load(mesh_plan, exact=exact)
        for name, network in networks.items()
    }
    return Weights(
        config=dataclasses.replace(config, quantization=quantization),
        tokenizer=load_tokenizer(folder),
        networks=LazyNetworks(loaders, keep=keep),
        digest=stored.digest,
        mesh_plan=mesh_plan,
        family=family,
    )


def load_network(folder: Place, name: str, *, exact: bool = False) -> nnx.Module:
    """Load one network of a folder, named as its family does; see `load_weights`."""
    stored = find_stored_model(folder)
    if stored is None:
        return bundle.load_network(base_of(folder), name)
    found = stored.networks[name]
    found.check()
    return found.load(exact=exact)


def load_tokenizer(folder: Place) -> Tokenizer:
    """Load only the tokenizer of a folder."""
    stored = find_stored_model(folder)
    if stored is None:
        return bundle.load_tokenizer(base_of(folder))
    return stored.load_tokenizer()


def digest(folder: Place) -> str:
    """Hash a folder's files, without reading them whole."""
    stored = find_stored_model(folder)
    return bundle.digest(base_of(folder)) if stored is None else stored.digest


def find_stored_model(place: Place) -> StoredModel | None:
    """Open files, or a folder in a layout of a family; None for any other folder.

    Raises:
      ValueError: a file is missing or damaged, or goes with another kind of weights.
    """
    folder = base_of(place)
    given = place if isinstance(place, WeightsFiles) else WeightsFiles(base=folder)
    where = files.located(folder, "weights")
    try:
        if where.suffix == SUFFIX and not where.is_dir():
            return single_files.open_files(given)
        for family in FAMILIES:
            for layout in family.layouts:
                if layout.recognizes(where):
                    stored = open_model(where, family, layout)
                    return single_files.with_files(stored, given)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"weights folder {os.fspath(folder)!r}: a config or an index in it lacks a "
            f"field or has one of another type ({error!r}): copy or "
            "download the folder again"
        ) from error
    if given.parts:
        raise ValueError(
            f"weights folder {os.fspath(folder)!r} is not one of Wan's: leave out the "
            "files of single networks, which go with these"
        )
    return None

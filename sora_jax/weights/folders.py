"""Any folder of weights: ours, or Wan's in either of its layouts.

The folder's own files say what it is. Nothing large is read before all of it has been
looked at.
"""

from __future__ import annotations

import dataclasses
import logging
import os

from flax import nnx

from sora_jax import files, memory, sharding
from sora_jax.config import RULES, SAMPLING_MESH, MeshConfig, ModelConfig, wan
from sora_jax.files import PathLike
from sora_jax.models.tokenizer import Tokenizer, check_file
from sora_jax.sharding import SINGLE_DEVICE, MeshPlan
from sora_jax.weights import layout_diffusers, layout_original, published
from sora_jax.weights.foreign import Folder
from sora_jax.weights.parts import Parts, Weights
from sora_jax.weights.tokenizer_json import as_transformers_reads

_logger = logging.getLogger(__name__)


def describe(folder: PathLike, insisted: str | None = None) -> ModelConfig:
    """What a folder holds, as its configs and the headers of its files say.

    Args:
      folder: of weights.
      insisted: the model that it must be.

    Raises:
      ValueError: the folder is none, or holds another model.
    """
    foreign = find(folder)
    config = published.describe(folder) if foreign is None else foreign.config
    if foreign is None:
        check_file(files.located(folder, "weights") / published.TOKENIZER)
    else:
        foreign.check()
    if insisted is not None and insisted not in wan.MODELS:
        raise ValueError(
            f"model must be one of {', '.join(wan.MODELS)}, got {insisted!r}"
        )
    if insisted is not None and config.name != insisted:
        wanted, found = wan.MODELS[insisted].dit, config.dit
        raise ValueError(
            f"model {insisted!r} has a transformer of width {wanted.width} and depth "
            f"{wanted.depth}; {os.fspath(folder)!r} holds {config.name!r}, of width "
            f"{found.width} and depth {found.depth}: give other --weights"
        )
    return config


def load(
    folder: PathLike, *, mesh: MeshConfig = SAMPLING_MESH, exact: bool = False
) -> Weights:
    """Open a folder of weights; foreign networks are read when they are used.

    Args:
      folder: of weights.
      mesh: how devices share them, and the videos that they make.
      exact: keep the types of the files also where less would do to compute.

    Raises:
      ValueError: the folder is none, a file is missing or damaged, the largest of the
        networks is larger than memory, or the mesh is none of these devices.
    """
    foreign = find(folder)
    config = published.describe(folder) if foreign is None else foreign.config
    made = sharding.make_mesh(dataclasses.asdict(mesh), heads=config.dit.heads)
    placed = made if made.size > 1 else None
    if foreign is None:
        return published.load(folder, placed)
    foreign.check()
    sizes = {name: part.bytes(placed, exact) for name, part in foreign.networks.items()}
    keep = memory.fits_together(sizes, placed)
    loaders = {
        name: lambda network=network: network.load(placed, exact=exact)
        for name, network in foreign.networks.items()
    }
    return Weights(
        config=foreign.config,
        tokenizer=tokenizer(folder),
        parts=Parts(loaders, keep=keep),
        digest=foreign.digest,
        mesh_plan=MeshPlan(placed, RULES) if placed else SINGLE_DEVICE,
    )


def network(folder: PathLike, name: str, *, exact: bool = False) -> nnx.Module:
    """Load one network of a folder, named as in `parts.Weights`; see `load`."""
    foreign = find(folder)
    if foreign is None:
        return published.network(folder, name)
    found = foreign.networks[name]
    found.check()
    return found.load(exact=exact)


def tokenizer(folder: PathLike) -> Tokenizer:
    """Load the tokenizer of a folder, and nothing else."""
    foreign = find(folder)
    if foreign is None:
        return published.load_tokenizer(folder)
    given = Tokenizer.load(foreign.tokenizer)
    return Tokenizer(as_transformers_reads(given.model))


def digest(folder: PathLike) -> str:
    """What ties others to a folder's files, none of which is read whole."""
    foreign = find(folder)
    return published.digest(folder) if foreign is None else foreign.digest


def find(folder: PathLike) -> Folder | None:
    """The foreign networks of a folder; None where it is not foreign."""
    where = files.located(folder, "weights")
    try:
        if (where / layout_diffusers.INDEX).exists():
            return layout_diffusers.read(where)
        if layout_original.is_one(where):
            return layout_original.read(where)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"weights folder {os.fspath(folder)!r}: a config or an index in it lacks a "
            f"field or holds another type than the published ones ({error!r}): copy or "
            "download the folder again"
        ) from error
    return None

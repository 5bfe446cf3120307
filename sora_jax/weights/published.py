"""A folder of weights: what training leaves and sampling loads.

config.json        which networks, of which size, with which sampling defaults
vae.safetensors  dit.safetensors  text_encoder.safetensors  tokenizer.model
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from typing import Any, TypeVar

import jax
from etils import epath
from flax import nnx
from jax.sharding import Mesh

from sora_jax import sharding
from sora_jax.config import RULES, ModelConfig, from_json
from sora_jax.files import PathLike
from sora_jax.models.dit import DiT
from sora_jax.models.text_encoder import TextEncoder
from sora_jax.models.tokenizer import Tokenizer
from sora_jax.models.vae import VAE
from sora_jax.weights import native
from sora_jax.weights.parts import Weights, in_memory
from sora_jax.workdir import read_json, write_json

M = TypeVar("M", bound=nnx.Module)
_logger = logging.getLogger(__name__)

ASSETS = epath.resource_path("sora_jax") / "assets"
COPY = "copy the folder again"
FILES = ("vae.safetensors", "dit.safetensors", "text_encoder.safetensors")


def load(folder: PathLike = ASSETS, mesh: Mesh | None = None) -> Weights:
    """Load a folder of weights, onto a mesh if there is one.

    Raises:
      ValueError: the folder is not one, or a file in it is missing or damaged.
    """
    config = describe(folder)
    where = epath.Path(folder)
    missing = [name for name in (*FILES, "tokenizer.model") if not exists(where, name)]
    if missing:
        raise ValueError(
            f"weights folder {str(folder)!r} lacks {missing}: copy it again, or export "
            "it again with python -m sora_jax.weights.publish"
        )
    names = [name.removesuffix(".safetensors") for name in FILES]
    networks = {name: network(folder, name, mesh) for name in names}
    tokenizer = Tokenizer.load(where / "tokenizer.model")
    weights = in_memory(config, tokenizer, **networks)
    return dataclasses.replace(weights, digest=digest(folder), mesh=mesh)


def network(folder: PathLike, name: str, mesh: Mesh | None = None) -> nnx.Module:
    """Load one network of a folder, onto a mesh if there is one."""
    config = describe(folder)
    make: dict[str, Callable[[nnx.Rngs], nnx.Module]] = {
        "vae": lambda r: VAE(config.vae, rngs=r),
        "dit": lambda r: DiT(config.dit, rngs=r),
        "text_encoder": lambda r: TextEncoder(config.text, rngs=r),
    }
    return fill(epath.Path(folder) / f"{name}.safetensors", make[name], mesh)


def digest(folder: PathLike) -> str:
    """Of the files that networks are loaded from."""
    where = epath.Path(folder)
    return "-".join(native.file_hash(where / name)[:8] for name in FILES)


def save(folder: PathLike, weights: Weights, dtype: str = "bfloat16") -> None:
    """Write a folder of weights; `config.json` comes last, so that it is whole.

    Raises:
      ValueError: there are two transformers.
    """
    if weights.config.boundary is not None:
        raise ValueError(
            f"the model {weights.config.name} has two transformers, for which our own "
            "folders have no place: write it with sora_jax.weights.export"
        )
    where = epath.Path(folder)
    for name in FILES:
        module = weights.parts[name.removesuffix(".safetensors")]
        native.save_tensors(where / name, parameters(module), dtype=dtype)
    weights.tokenizer.save(where / "tokenizer.model")
    config = dataclasses.asdict(weights.config)
    write_json(where / "config.json", {"format": "sora_jax", **config})


def save_vae(folder: PathLike, vae: VAE) -> None:
    """Write a folder that holds a VAE alone, in float32."""
    where = epath.Path(folder)
    # The tensors come last: where they are, the folder is whole.
    write_json(where / "vae.json", dataclasses.asdict(vae.config))
    native.save_tensors(where / "vae.safetensors", parameters(vae), dtype=None)


def describe(folder: PathLike) -> ModelConfig:
    """Read the description of a weights folder.

    Raises:
      ValueError: the folder has none, or it is of another kind or version.
    """
    path = epath.Path(folder) / "config.json"
    if not path.parent.is_dir():
        raise ValueError(f"weights folder {str(folder)!r} is no folder: check the name")
    if not path.exists():
        raise ValueError(
            f"weights folder {str(folder)!r} has neither model_index.json nor "
            "config.json: give a folder of weights, ours or Wan's"
        )
    config = read_json(path, COPY)
    kind = config.pop("format", None)
    if kind != "sora_jax":
        raise ValueError(
            f"{path} does not describe sora_jax weights (its 'format' is {kind!r}); of "
            "a download in diffusers' layout, give the folder with model_index.json"
        )
    return from_json(ModelConfig, config, whole=True)


def parameters(module: nnx.Module) -> dict[str, Any]:
    """The parameters of a module as nested dicts."""
    return nnx.to_pure_dict(nnx.state(module))


def abstract_of(
    make: Callable[[nnx.Rngs], nnx.Module],
) -> tuple[nnx.GraphDef, dict[str, Any]]:
    """The structure of a module and the shapes of its parameters, without memory."""
    graphdef, state = nnx.split(nnx.eval_shape(lambda: make(nnx.Rngs(0))))
    # Without the abstract shardings that a current mesh would give them.
    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), nnx.to_pure_dict(state)
    )
    return graphdef, shapes


def fill(path: PathLike, make: Callable[[nnx.Rngs], M], mesh: Mesh | None = None) -> M:
    """Make a module with the parameters of a file, on a mesh if there is one."""
    graphdef, abstract = abstract_of(make)
    if mesh is not None:
        module = nnx.eval_shape(lambda: make(nnx.Rngs(0)))
        with sharding.use(mesh, RULES):
            placed = sharding.parameter_shardings(module, mesh)
        abstract = jax.tree.map(
            lambda x, where: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where),
            abstract,
            placed,
        )
    return nnx.merge(graphdef, native.load_tensors(path, abstract))


def exists(folder: epath.Path, name: str) -> bool:
    """Whether a folder has an entry."""
    return (folder / name).exists()

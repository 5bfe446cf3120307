"""A folder of weights: what training leaves and sampling loads.

config.json        which networks, of which size, with which sampling defaults, and a
                   hash of each of the other files
vae.safetensors  dit.safetensors  text_encoder.safetensors  tokenizer.model
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import msgspec
from etils import epath
from flax import nnx
from jax.sharding import Mesh

from sora_jax import hashes, sharding
from sora_jax.config import RULES, ModelConfig, from_json
from sora_jax.files import PathLike
from sora_jax.models.dit import DiT
from sora_jax.models.text_encoder import TextEncoder
from sora_jax.models.tokenizer import Tokenizer
from sora_jax.models.vae import VAE
from sora_jax.sharding import SINGLE_DEVICE, MeshPlan
from sora_jax.weights import native
from sora_jax.weights.parts import Weights, in_memory
from sora_jax.workdir import read_json, write_bytes, write_json

M = TypeVar("M", bound=nnx.Module)
_logger = logging.getLogger(__name__)

ASSETS = epath.resource_path("sora_jax") / "assets"
COPY = "copy the folder again"
REMEDY = "copy the folder again, or export it again with sora_jax.weights.publish"
FILES = ("vae.safetensors", "dit.safetensors", "text_encoder.safetensors")
TOKENIZER = "tokenizer.model"
# Of a description: the hashes of the files beside it, by name.
HASHES = "hashes"


def load(folder: PathLike = ASSETS, mesh: Mesh | None = None) -> Weights:
    """Load a folder of weights, onto a mesh if there is one.

    Raises:
      ValueError: the folder is not one, or a file in it is missing or damaged.
    """
    config = describe(folder)
    where = epath.Path(folder)
    missing = [name for name in (*FILES, TOKENIZER) if not exists(where, name)]
    if missing:
        raise ValueError(
            f"weights folder {str(folder)!r} lacks {missing}: copy it again, or export "
            "it again with python -m sora_jax.weights.publish"
        )
    names = [name.removesuffix(".safetensors") for name in FILES]
    networks = {name: network(folder, name, mesh) for name in names}
    tokenizer = load_tokenizer(folder)
    weights = in_memory(config, tokenizer, **networks)
    mesh_plan = MeshPlan(mesh, RULES) if mesh else SINGLE_DEVICE
    return dataclasses.replace(weights, digest=digest(folder), mesh_plan=mesh_plan)


def network(folder: PathLike, name: str, mesh: Mesh | None = None) -> nnx.Module:
    """Load one network of a folder, onto a mesh if there is one."""
    config = describe(folder)
    refuse_changed(folder, f"{name}.safetensors")
    make: dict[str, Callable[[nnx.Rngs], nnx.Module]] = {
        "vae": lambda r: VAE(config.vae, rngs=r),
        "dit": lambda r: DiT(config.dit, rngs=r),
        "text_encoder": lambda r: TextEncoder(config.text, rngs=r),
    }
    return fill(epath.Path(folder) / f"{name}.safetensors", make[name], mesh)


def load_tokenizer(folder: PathLike) -> Tokenizer:
    """Load the tokenizer of a folder of weights, or of encoded clips."""
    refuse_changed(folder, TOKENIZER)
    return Tokenizer.load(epath.Path(folder) / TOKENIZER)


def refuse_changed(folder: PathLike, name: str) -> None:
    """Refuse a file that is not the one whose hash was kept when it was written.

    Raises:
      ValueError: says what to do.
    """
    where = epath.Path(folder)
    if not exists(where, name):
        return  # who opens it says so
    for described in ("vae.json", "config.json"):
        if exists(where, described):
            _, kept = read_description(where / described)
            hashes.refuse_changed(where, kept, [name], REMEDY)


def write_description(
    path: epath.Path, data: Mapping[str, Any], kept: Mapping[str, str]
) -> None:
    """Write what describes a folder, with its hash and those of files beside it."""
    own = {path.name: hashes.of_json(data)}
    write_json(path, {HASHES: {**kept, **own}, **data})


def read_description(path: epath.Path) -> tuple[dict[str, Any], dict[str, str]]:
    """What describes a folder, and hashes by file; earlier versions kept none.

    Raises:
      ValueError: there is none, or it is not as it was written.
    """
    data = read_json(path, COPY)
    try:
        kept = msgspec.convert(data.pop(HASHES, {}), dict[str, str])
    except msgspec.ValidationError as error:
        raise ValueError(f"{path}: {HASHES}: {error}; {COPY}") from error
    own = kept.pop(path.name, "")
    if own and own != hashes.of_json(data):
        raise ValueError(
            f"{path} is not as written (its hash is another): {REMEDY}; if you changed "
            f"it yourself, delete its line from its {HASHES}"
        )
    return data, kept


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
    kept = {TOKENIZER: hashes.of_bytes(weights.tokenizer.model)}
    for name in FILES:
        module = weights.parts[name.removesuffix(".safetensors")]
        content = native.packed(parameters(module), dtype)
        kept[name] = hashes.of_bytes(content)
        write_bytes(where / name, content)
    weights.tokenizer.save(where / TOKENIZER)
    config = dataclasses.asdict(weights.config)
    write_description(where / "config.json", {"format": "sora_jax", **config}, kept)


def save_vae(folder: PathLike, vae: VAE) -> None:
    """Write a folder that holds a VAE alone, in float32."""
    where, name = epath.Path(folder), "vae.safetensors"
    content = native.packed(parameters(vae), dtype=None)
    kept = {name: hashes.of_bytes(content)}
    # The tensors come last: where they are, the folder is whole.
    write_description(where / "vae.json", dataclasses.asdict(vae.config), kept)
    write_bytes(where / name, content)


def save_tokenizer(folder: PathLike, tokenizer: Tokenizer) -> None:
    """Write a tokenizer beside a VAE of `save_vae`."""
    path = epath.Path(folder) / "vae.json"
    data, kept = read_description(path)
    kept[TOKENIZER] = hashes.of_bytes(tokenizer.model)
    write_description(path, data, kept)
    tokenizer.save(epath.Path(folder) / TOKENIZER)


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
    config, _ = read_description(path)
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
    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), nnx.to_pure_dict(state)
    )
    return graphdef, shapes


def fill(path: PathLike, make: Callable[[nnx.Rngs], M], mesh: Mesh | None = None) -> M:
    """Make a module with the parameters of a file, on a mesh if there is one."""
    graphdef, abstract = abstract_of(make)
    if mesh is not None:
        module = nnx.eval_shape(lambda: make(nnx.Rngs(0)))
        placed = sharding.parameter_shardings(module, MeshPlan(mesh, RULES))
        abstract = jax.tree.map(
            lambda x, where: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where),
            abstract,
            placed,
        )
    return nnx.merge(graphdef, native.load_tensors(path, abstract))


def exists(folder: epath.Path, name: str) -> bool:
    """Whether a folder has an entry."""
    return (folder / name).exists()

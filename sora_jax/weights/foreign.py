"""Wan's models as their publishers lay them out: which networks a folder holds.

Two layouts are known: that of diffusers (a folder and a config for each network) and
the original one (one folder, the configs of the transformers alone). Both lead to the
same: for each network its config, its table of names and its files.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from etils import epath
from flax import nnx
from jax.sharding import Mesh

from sora_jax import sharding
from sora_jax.config import RULES, DiTConfig, ModelConfig, TextConfig, VAEConfig, wan
from sora_jax.config.weights import Conditioning
from sora_jax.models.dit import DiT
from sora_jax.models.text_encoder import TextEncoder
from sora_jax.models.tokenizer import check_file
from sora_jax.models.vae import VAE
from sora_jax.nn.precision import compute_dtype
from sora_jax.sharding import MeshPlan
from sora_jax.weights import convert, native
from sora_jax.weights.published import abstract_of
from sora_jax.weights.shards import Stored
from sora_jax.weights.table import Entry
from sora_jax.weights.umt5 import text_table
from sora_jax.weights.wan import dit_table
from sora_jax.weights.wan_vae import vae_table

NetworkConfig = DiTConfig | VAEConfig | TextConfig

MODULES: dict[type, tuple[Callable[..., nnx.Module], Callable[..., list[Entry]]]] = {
    DiTConfig: (DiT, dit_table),
    VAEConfig: (VAE, vae_table),
    TextConfig: (TextEncoder, text_table),
}
COPY = "copy or download the folder again"
HASHED = 2**20  # bytes at each end of a file
# What is computed in float32 stays in float32, wherever the rest is computed.
FLOAT32 = frozenset(("time", "time_table", "modulation", "head_modulation", "scale"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """A network on disk.

    Attributes:
      where: its files, for messages.
      config: its sizes.
      layout: "diffusers" or "original".
      stored: its tensors, by their names in the files.
      statistics: mean and standard deviation of the latents, of a VAE.
    """

    where: str
    config: NetworkConfig
    layout: str
    stored: Mapping[str, Stored]
    statistics: tuple[Sequence[float], Sequence[float]] | None = None

    @property
    def table(self) -> list[Entry]:
        """Its tensors beside our parameters."""
        return MODULES[type(self.config)][1](self.config, self.layout)

    def bytes(self, mesh: Mesh | None = None, exact: bool = False) -> int:
        """What its parameters take on a device (see `load`)."""
        _, ours = self.abstract(mesh, exact)
        return sum(
            math.prod(x.sharding.shard_shape(x.shape) if x.sharding else x.shape)
            * x.dtype.itemsize
            for x in ours.values()
        )

    def abstract(
        self, mesh: Mesh | None = None, exact: bool = False
    ) -> tuple[nnx.GraphDef, dict[str, jax.ShapeDtypeStruct]]:
        """The structure of our module, and its parameters by path, without memory."""
        make = MODULES[type(self.config)][0]
        graphdef, shapes = abstract_of(lambda r: make(self.config, rngs=r))
        dtype = compute_dtype(self.config.dtype)
        kinds = self.stored_dtypes()
        placed: dict[str, Any] = {}
        if mesh is not None:
            module = nnx.eval_shape(lambda: make(self.config, rngs=nnx.Rngs(0)))
            shardings = sharding.parameter_shardings(module, MeshPlan(mesh, RULES))
            placed = native.flatten(shardings)
        described = {}
        for path, shape in native.flatten(shapes).items():
            kept = kinds.get(path, shape.dtype)
            if not exact and not FLOAT32.intersection(path.split("/")):
                kept = min(kept, dtype, key=lambda kind: jnp.dtype(kind).itemsize)
            described[path] = jax.ShapeDtypeStruct(
                shape.shape, kept, sharding=placed.get(path)
            )
        return graphdef, described

    def stored_dtypes(self) -> dict[str, jnp.dtype]:
        """The type in which each of our parameters lies in the files."""
        kinds: dict[str, jnp.dtype] = {}
        for entry in self.table:
            if entry.name in self.stored:
                kind = self.stored[entry.name].numpy_dtype
                kinds[entry.path] = jnp.promote_types(kinds.get(entry.path, kind), kind)
        return kinds

    def check(self) -> None:
        """Hold the headers of the files against the table.

        Raises:
          ValueError: lists every tensor that is missing, unexpected or misshapen.
        """
        depth = getattr(self.config, "depth", 0)
        if depth > len(self.stored):  # too many to list one by one
            raise ValueError(
                f"weights {self.where!r} are not those of the model that its config "
                f"describes: it has {depth} layers, and the files "
                f"{len(self.stored)} tensors{looks_like(self.stored)}"
            )
        _, ours = self.abstract()
        try:
            convert.check(self.where, self.table, self.stored, ours)
        except ValueError as error:
            raise ValueError(f"{error}{looks_like(self.stored)}") from error

    def load(self, mesh: Mesh | None = None, *, exact: bool = False) -> nnx.Module:
        """Read the network, onto a mesh if there is one.

        Args:
          mesh: where the parameters lie.
          exact: keep the types of the files; else what is computed in bfloat16 is also
            held so.
        """
        graphdef, ours = self.abstract(mesh, exact)
        params = convert.load(self.where, self.table, self.stored, ours)
        if self.statistics is not None:
            for name, values in zip(
                ("latent_mean", "latent_std"), self.statistics, strict=True
            ):
                params[name] = jnp.asarray(values, jnp.float32)
        return nnx.merge(graphdef, params)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder of foreign weights.

    Attributes:
      config: what it holds.
      networks: by the names of `parts.Weights`.
      tokenizer: the SentencePiece model.
    """

    config: ModelConfig
    networks: Mapping[str, Network]
    tokenizer: epath.Path

    @property
    def digest(self) -> str:
        """Of the length, the beginning and the end of each file.

        To hash all of them would take longer than to load them.
        """
        files = {
            item.file
            for network in self.networks.values()
            for item in network.stored.values()
        }
        digest = hashlib.sha256()
        for path in sorted(files, key=str):
            length = path.stat().length
            digest.update(f"{path.name} {length}".encode())
            with path.open("rb") as file:
                digest.update(file.read(HASHED))
                file.seek(max(0, length - HASHED))
                digest.update(file.read(HASHED))
        return digest.hexdigest()[:16]

    def check(self) -> None:
        """Look at all files without reading any tensor.

        Raises:
          ValueError: tells all that is wrong, of every network.
        """
        problems = []
        for network in self.networks.values():
            try:
                network.check()
            except ValueError as error:
                problems.append(str(error))
        try:
            check_file(self.tokenizer)
        except ValueError as error:
            problems.append(f"{error}; {COPY}")
        if problems:
            raise ValueError("\n".join(problems))


def conditioning_of(extra_channels: int, is_image_too: bool) -> Conditioning:
    """How a model takes known pixels: one of text and image takes clean tokens."""
    if extra_channels:
        return "channels"
    return "tokens" if is_image_too else "nothing"


def looks_like(stored: Mapping[str, Stored]) -> str:
    """What a transformer seems to be, by its tensors; nothing where it is none."""
    embed = stored.get("patch_embedding.weight")
    if embed is None or len(embed.shape) < 2:
        return ""
    width, channels = embed.shape[:2]
    layers = {name.split(".")[1] for name in stored if name.startswith("blocks.")}
    names = [
        name
        for name, model in wan.MODELS.items()
        if (model.dit.width, model.dit.depth) == (width, len(layers))
        and model.dit.channels + model.dit.extra_channels == channels
    ]
    known = f", as {' and '.join(names)}" if names else ""
    return (
        f"\nwhat is there looks like a transformer of width {width}, depth "
        f"{len(layers)} and {channels} input channels{known}"
    )

"""A network in a layout of a family: config, table of tensors and files."""

from __future__ import annotations

import dataclasses
import functools
import math
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from sora_jax import sharding
from sora_jax.config import Quantization, resolve_dtypes
from sora_jax.families.family import NetworkSpec, TensorFiles
from sora_jax.families.table import Entry
from sora_jax.nn.parameters import metadata
from sora_jax.nn.precision import compute_dtype
from sora_jax.nn.quantized import is_quantized, quantize
from sora_jax.sharding import SINGLE_DEVICE, MeshPlan
from sora_jax.weights import headers, shards, transfer
from sora_jax.weights.headers import StoredTensor
from sora_jax.weights.modules import abstract_of, flatten


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoredNetwork:
    """A network on disk.

    Attributes:
      where: its files, for messages.
      spec: its family's record.
      config: its sizes.
      layout: the name of the layout.
      stored: its tensors, by name in the files.
      constants: values of parameters that are not tensors in the files.
      quantization: how the linear maps of its layers are kept in memory.
    """

    where: str
    spec: NetworkSpec
    config: Any
    layout: str
    stored: Mapping[str, StoredTensor]
    constants: Mapping[str, Sequence[float]] = dataclasses.field(default_factory=dict)
    quantization: Quantization = "none"

    @property
    def table(self) -> list[Entry]:
        """Return the table from its tensors to parameters."""
        if self.spec.table is None:
            raise ValueError(f"weights {self.where!r}: their layout has no table")
        return self.spec.table(self.config, self.layout)

    def bytes(self, mesh_plan: MeshPlan = SINGLE_DEVICE, exact: bool = False) -> int:
        """Return the bytes of its parameters per device (see `load`)."""
        _, parameters = self.abstract(mesh_plan, exact)
        return sum(
            math.prod(x.sharding.shard_shape(x.shape) if x.sharding else x.shape)
            * x.dtype.itemsize
            for x in parameters.values()
        )

    def abstract(
        self, mesh_plan: MeshPlan = SINGLE_DEVICE, exact: bool = False
    ) -> tuple[nnx.GraphDef, dict[str, jax.ShapeDtypeStruct]]:
        """Return the module's graph definition, and parameters by path, as shapes."""

        config = resolve_dtypes(self.config, mesh_plan.platform)
        module, graphdef, shapes = _abstract(
            self.spec.module, config, self.quantization
        )
        exactly = flatten(metadata(module, "keep_float32", False))
        dtype = compute_dtype(config.dtype)
        kinds = self.stored_dtypes()
        placed: dict[str, Any] = {}
        if mesh_plan.is_sharded:
            placed = flatten(sharding.parameter_shardings(module, mesh_plan))
        described = {}
        for path, shape in shapes.items():
            kept = shape.dtype
            if not is_quantized(kept):
                kept = kinds.get(path, kept)
            if not exact and not exactly[path]:
                kept = min(kept, dtype, key=lambda kind: jnp.dtype(kind).itemsize)
            described[path] = jax.ShapeDtypeStruct(
                shape.shape, kept, sharding=placed.get(path)
            )
        return graphdef, described

    def stored_dtypes(self) -> dict[str, jnp.dtype]:
        """Return the dtype of each parameter in the files."""
        kinds: dict[str, jnp.dtype] = {}
        for entry in self.table:
            if entry.name in self.stored:
                kind = self.stored[entry.name].value_dtype
                kinds[entry.path] = jnp.promote_types(kinds.get(entry.path, kind), kind)
        return kinds

    def check(self) -> None:
        """Compare the headers of the files with the table.

        Raises:
          ValueError: lists every tensor that is missing, unexpected or misshapen.
        """
        guess = self.spec.guess(shapes_of(self.stored))
        depth = getattr(self.config, "depth", 0)
        if depth > len(self.stored):  # too many to list
            raise ValueError(
                f"weights {self.where!r} are not those of the model that its config "
                f"describes: it has {depth} layers, and the files "
                f"{len(self.stored)} tensors{guess}"
            )
        _, parameters = self.abstract()
        try:
            transfer.check_table(self.where, self.table, self.stored, parameters)
        except ValueError as error:
            raise ValueError(f"{error}{guess}") from error

    def load(
        self, mesh_plan: MeshPlan = SINGLE_DEVICE, *, exact: bool = False
    ) -> nnx.Module:
        """Read the network, onto a mesh if there is one.

        Args:
          mesh_plan: placement of the parameters.
          exact: keep the dtypes of the files; otherwise parameters computed with in
            bfloat16 are stored in it.
        """
        graphdef, parameters = self.abstract(mesh_plan, exact)
        params = transfer.read_parameters(
            self.where, self.table, self.stored, parameters
        )
        for name, values in self.constants.items():
            params[name] = jnp.asarray(values, jnp.float32)
        return nnx.merge(graphdef, params)


@functools.lru_cache(maxsize=16)
def _abstract(
    module: Callable[..., nnx.Module], config: Any, quantization: Quantization
) -> tuple[nnx.Module, nnx.GraphDef, Mapping[str, jax.ShapeDtypeStruct]]:
    """Build a network without memory; its files are checked, and then read."""

    def make(rngs: nnx.Rngs) -> nnx.Module:
        return quantize(module(config, rngs=rngs), quantization)

    built = nnx.eval_shape(lambda: make(nnx.Rngs(0)))
    graphdef, shapes = abstract_of(make)
    return built, graphdef, types.MappingProxyType(flatten(shapes))


def read_headers(files: TensorFiles, spec: NetworkSpec) -> dict[str, StoredTensor]:
    """Read the tensors of a network's files, with aliases resolved.

    Raises:
      ValueError: the shapes of a tensor and its alias differ.
    """

    def canonical(name: str) -> str | None:
        if not name.startswith(files.prefix):
            return None
        return spec.canonical(name.removeprefix(files.prefix))

    stored = headers.read_headers(shards.find_files(files), canonical)
    for alias, name in spec.aliases.items():
        if alias not in stored:
            continue
        second = stored.pop(alias)
        first = stored.setdefault(name, second)
        if first.shape != second.shape:
            raise ValueError(
                f"weights {place_of(files)!r}: {name} {list(first.shape)} and {alias} "
                f"{list(second.shape)} must be the same: copy or download the folder "
                "again"
            )
    return stored


def place_of(files: TensorFiles) -> str:
    """Return a network's folder or single file, for messages."""
    return str(shards.find_files(files)[0] if files.single else files.folder)


def shapes_of(stored: Mapping[str, StoredTensor]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of tensors by name."""
    return {name: tensor.shape for name, tensor in stored.items()}

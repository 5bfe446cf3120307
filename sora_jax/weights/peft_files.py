"""Adapters in the forms of PEFT and of diffusers, named after published linear maps.

PEFT's is a folder with adapter_config.json and a safetensors file; diffusers' is one
file, for `load_lora_weights`. Fused and stacked kernels are taken apart by the table of
the model's family; `lora_reading` puts them together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import safetensors.numpy
from etils import epath
from flax import nnx

from sora_jax.families.table import Entry
from sora_jax.files import PathLike
from sora_jax.weights.adapter_paths import PEFT_CONFIG, PEFT_TENSORS
from sora_jax.weights.adapter_sums import adapter_of
from sora_jax.weights.adapters import Adapter, linears
from sora_jax.weights.lora_files import LoraFile, open_lora
from sora_jax.weights.lora_reading import read_lora
from sora_jax.weights.lora_settings import LoraSettings
from sora_jax.weights.lora_target import Target, entries_of, target_of
from sora_jax.workdir import read_json, write_bytes, write_json

TENSORS = PEFT_TENSORS
COPY = "copy or download the folder again"


class Pair(NamedTuple):
    """The factors of one published map: rank x in, and out x rank."""

    name: str
    a: np.ndarray
    b: np.ndarray


def files_of(folder: PathLike) -> tuple[epath.Path, epath.Path]:
    """Return the files of the config and of the factors."""
    return epath.Path(folder) / PEFT_CONFIG, epath.Path(folder) / TENSORS


def save_adapter(
    folder: PathLike, adapter: Adapter, model: nnx.Module, table: Sequence[Entry] = ()
) -> None:
    """Write an adapter in PEFT's form.

    Args:
      folder: to write; its config is written last.
      adapter: of the model.
      model: whose kernels have the factors.
      table: of the family's published layout; without one, maps are named by their
        paths in the model.
    """
    pairs = list(pairs_of(adapter, model, table))
    where = epath.Path(folder)
    _write_tensors(where / TENSORS, "base_model.model.", pairs)
    modules = {re.sub(r"^blocks\.\d+\.", "", pair.name) for pair in pairs}
    config = {"peft_type": "LORA", "r": adapter.config.rank, "bias": "none"}
    config |= {"lora_alpha": adapter.config.alpha, "target_modules": sorted(modules)}
    write_json(where / PEFT_CONFIG, config)


def save_for_diffusers(
    path: PathLike, adapter: Adapter, model: nnx.Module, table: Sequence[Entry]
) -> None:
    """Write an adapter as `load_lora_weights` of a diffusers pipeline reads it.

    Its scale is in the second factors, since diffusers takes the rank for alpha.

    Args:
      path: of the file, which diffusers expects to have the name
        `adapter_paths.DIFFUSERS`.
      adapter: of the model.
      model: whose kernels have the factors.
      table: of diffusers' layout.
    """
    scale = adapter.config.scale
    pairs = pairs_of(adapter, model, table)
    scaled = (pair._replace(b=scale * pair.b) for pair in pairs)
    _write_tensors(epath.Path(path), "transformer.", scaled)


def pairs_of(
    adapter: Adapter, model: nnx.Module, table: Sequence[Entry]
) -> Iterator[Pair]:
    """Yield the factors of each published map."""
    found = linears(model)
    for path, factors in adapter.factors.items():
        down, up = np.asarray(factors.down), np.asarray(factors.up)
        kernel = found[path].kernel.shape
        for entry in entries_of(path, found[path], table):
            first = down[entry.index[: down.ndim - 2]]
            name, inverse = entry.name.removesuffix(".weight"), entry.transform.inverse
            if len(shape := entry.file_shape(kernel)) == 2:
                yield Pair(name, first.T, inverse(up[entry.index]))
            else:  # a convolution, whose second factor is one of a single pixel
                ones = (1,) * (len(shape) - 2)
                last = up[entry.index].T.reshape(shape[0], -1, *ones)
                yield Pair(name, inverse(first), last)


def _write_tensors(path: epath.Path, prefix: str, pairs: Iterable[Pair]) -> None:
    tensors = {
        f"{prefix}{pair.name}.lora_{half}.weight": np.ascontiguousarray(value)
        for pair in pairs
        for half, value in (("A", pair.a), ("B", pair.b))
    }
    write_bytes(path, safetensors.numpy.save(tensors, metadata={"format": "pt"}))


def open_folder(folder: PathLike, target: Target) -> LoraFile:
    """Open an adapter in PEFT's form for a network; reads no tensor.

    Raises:
      ValueError: it is damaged, of another kind, or does not fit the network.
    """
    config, tensors = files_of(folder)
    settings = read_json(config, COPY, LoraSettings)
    settings.check(folder)
    return open_lora(tensors, target, settings)


def load_adapter(
    folder: PathLike, model: nnx.Module, table: Sequence[Entry] = ()
) -> Adapter:
    """Read an adapter in PEFT's form for a model; see `open_folder`."""
    file = open_folder(folder, target_of(model, table))
    return adapter_of(read_lora(file, model))

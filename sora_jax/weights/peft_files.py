"""Adapters in PEFT's form: a folder with adapter_config.json and a safetensors file.

PEFT names factors after the linear maps of the published model: fused and stacked
kernels are taken apart and put together by the table of the model's family. Where one
kernel is several maps, each with its own first factor, the fused adapter has the sum of
their ranks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import msgspec
import numpy as np
import safetensors.numpy
from etils import epath
from flax import nnx

from sora_jax import files
from sora_jax.config import AdapterConfig
from sora_jax.families.table import ALL, LINEAR, Entry, Transform, chain
from sora_jax.files import PathLike
from sora_jax.nn.layers import Linear
from sora_jax.weights.adapter_paths import PEFT_CONFIG
from sora_jax.weights.adapters import Adapter, Factors, factor_shapes, linears
from sora_jax.weights.headers import read_headers
from sora_jax.weights.mapped import map_file
from sora_jax.weights.tensor_checks import is_finite, refuse_infinite
from sora_jax.workdir import read_json, write_bytes, write_json

TENSORS = "adapter_model.safetensors"
PREFIX = "base_model.model."
COPY = "copy or download the folder again"
_NAME = re.compile(r"(?:base_model\.model\.)?(.+)\.lora_([AB])(?:\.default)?\.weight")


class _PeftConfig(msgspec.Struct):
    """The fields of PEFT's config that matter here."""

    r: int
    lora_alpha: float
    peft_type: str = "LORA"
    use_dora: bool = False
    use_rslora: bool = False
    bias: str = "none"
    fan_in_fan_out: bool = False
    init_lora_weights: Any = True
    rank_pattern: dict[str, Any] = {}
    alpha_pattern: dict[str, Any] = {}


class Pair(NamedTuple):
    """The factors of one published linear map: out x rank, and rank x in."""

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
    found = linears(model)
    tensors, modules = {}, set()
    for path, factors in adapter.factors.items():
        for entry in entries_of(path, found[path], table):
            down, up = np.asarray(factors.down), np.asarray(factors.up)
            layer = entry.index[: down.ndim - 2]
            name = entry.name.removesuffix(".weight")
            pair = Pair(down[layer].T, entry.transform.inverse(up[entry.index]))
            tensors[f"{PREFIX}{name}.lora_A.weight"] = np.ascontiguousarray(pair.a)
            tensors[f"{PREFIX}{name}.lora_B.weight"] = np.ascontiguousarray(pair.b)
            modules.add(re.sub(r"^blocks\.\d+\.", "", name))
    where = epath.Path(folder)
    write_bytes(where / TENSORS, safetensors.numpy.save(tensors))
    config = {"peft_type": "LORA", "r": adapter.config.rank, "bias": "none"}
    config |= {"lora_alpha": adapter.config.alpha, "target_modules": sorted(modules)}
    write_json(where / PEFT_CONFIG, config)


def load_adapter(
    folder: PathLike, model: nnx.Module, table: Sequence[Entry] = ()
) -> Adapter:
    """Read an adapter in PEFT's form for a model.

    Raises:
      ValueError: it is damaged, is of another kind (DoRA, biases), or names maps that
        the model does not have.
    """
    where = epath.Path(folder)
    config = read_json(where / PEFT_CONFIG, COPY, _PeftConfig)
    _check_config(folder, config)
    pairs = _read_pairs(where / TENSORS)
    found = linears(model)
    factors: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for path, linear in found.items():
        entries = entries_of(path, linear, table)
        if any(_module(entry) in pairs for entry in entries):
            factors[path] = _fuse(path, linear, entries, pairs, config.r)
    if pairs:
        some = ", ".join(files.quoted(name) for name in sorted(pairs)[:4])
        raise ValueError(
            f"adapter {str(folder)!r} has factors of {some}, which do not fit the "
            "model: use it with the model that it was trained on"
        )
    rank = max((down.shape[-1] for down, _ in factors.values()), default=0)
    if not rank:
        raise ValueError(f"adapter {str(folder)!r} has no factors: {COPY}")
    return Adapter(
        config=AdapterConfig(
            targets=tuple(map(re.escape, factors)),
            rank=rank,
            alpha=config.lora_alpha * rank / config.r,
        ),
        factors={path: _padded(*pair, rank) for path, pair in factors.items()},
    )


def _check_config(folder: PathLike, config: _PeftConfig) -> None:
    problems = [
        f"{name} {getattr(config, name)!r}"
        for name, wanted in (
            ("peft_type", "LORA"),
            ("use_dora", False),
            ("use_rslora", False),
            ("bias", "none"),
            ("fan_in_fan_out", False),
            ("rank_pattern", {}),
            ("alpha_pattern", {}),
        )
        if getattr(config, name) != wanted
    ]
    # Others, such as PiSSA, change the kernels as well.
    if config.init_lora_weights not in (True, False, None, "gaussian"):
        problems.append(f"init_lora_weights {files.quoted(config.init_lora_weights)}")
    if problems or config.r < 1 or not config.lora_alpha > 0:
        raise ValueError(
            f"adapter {str(folder)!r} must be plain LoRA of one rank, got "
            f"{', '.join(problems) or f'r {config.r}, alpha {config.lora_alpha}'}: "
            "merge it into its weights with PEFT first"
        )


def _read_pairs(path: epath.Path) -> dict[str, Pair]:
    """Read the factors of each published map."""
    stored = read_headers([path])
    halves: dict[str, dict[str, np.ndarray]] = {}
    with map_file(path) as file:
        for name, tensor in stored.items():
            match = _NAME.fullmatch(name)
            if match is None:
                raise ValueError(
                    f"adapter {str(path)!r} holds {files.quoted(name)}, which is no "
                    f"LoRA factor in PEFT's form: {COPY}"
                )
            value = np.array(file.tensor(tensor), np.float32)
            refuse_infinite(str(path), [] if is_finite(value) else [name])
            halves.setdefault(match[1], {})[match[2]] = value
    for name, pair in halves.items():
        shapes = {half: value.shape for half, value in pair.items()}
        if len(pair) < 2 or shapes["A"][0] != shapes["B"][-1]:
            raise ValueError(
                f"adapter {str(path)!r}: the factors of {files.quoted(name)} do not "
                f"go together, got {shapes}: {COPY}"
            )
    return {name: Pair(pair["A"], pair["B"]) for name, pair in halves.items()}


def _fuse(
    path: str,
    linear: Linear,
    entries: Sequence[Entry],
    pairs: dict[str, Pair],
    least: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Put the maps of one kernel together; takes their pairs."""
    layers = linear.kernel.ndim - len(linear.axes)
    groups: dict[tuple, list[tuple[Entry, Pair]]] = {}
    for entry in entries:
        if pair := pairs.pop(_module(entry), None):
            groups.setdefault(entry.index[:layers], []).append((entry, pair))
    columns = {layer: _first_factors(group) for layer, group in groups.items()}
    rank = max(least, *(len(a) for a in columns.values()))
    down_shape, up_shape = factor_shapes(linear, rank)
    down, up = np.zeros(down_shape, np.float32), np.zeros(up_shape, np.float32)
    for layer, group in groups.items():
        a = columns[layer]
        if a.shape[1] != down.shape[-2]:
            raise ValueError(f"adapter: {path} must read {down.shape[-2]} features")
        down[layer][:, : len(a)] = a.T
        shared = len(a) == len(group[0][1].a)
        start = 0
        for entry, pair in group:
            rows = slice(start, start + len(pair.a))
            value = entry.transform.forward(pair.b)
            part = up[entry.index]
            if part[rows].shape != value.shape:
                raise ValueError(
                    f"adapter: factors of {entry.name} must have the shape "
                    f"{part[rows].shape}, got {value.shape}"
                )
            part[rows] = value
            start += 0 if shared else len(pair.a)
    return down, up


def _first_factors(group: Sequence[tuple[Entry, Pair]]) -> np.ndarray:
    """Return the first factors one below another, or the one that all maps share."""
    first = group[0][1].a
    if all(np.array_equal(pair.a, first) for _, pair in group):
        return first
    return np.concatenate([pair.a for _, pair in group])


def _padded(down: np.ndarray, up: np.ndarray, rank: int) -> Factors:
    missing, layers = rank - down.shape[-1], down.ndim - 2
    down = np.pad(down, [(0, 0)] * (down.ndim - 1) + [(0, missing)])
    others = [(0, 0)] * (up.ndim - layers - 1)
    up = np.pad(up, [(0, 0)] * layers + [(0, missing)] + others)
    return Factors(down=jnp.asarray(down), up=jnp.asarray(up))


def _module(entry: Entry) -> str:
    return entry.name.removesuffix(".weight")


def entries_of(path: str, linear: Linear, table: Sequence[Entry]) -> list[Entry]:
    """Return the published maps that one kernel is made of."""
    if table:
        return [entry for entry in table if entry.path == f"{path}/kernel"]
    return list(_own_entries(path, linear))


def _own_entries(path: str, linear: Linear) -> Iterator[Entry]:
    """Name the maps of a kernel by its path, a number for each layer."""
    kernel = linear.kernel.shape
    layers = len(kernel) - len(linear.axes)
    out = kernel[layers + 1 :]
    flat = Transform(
        lambda x: x.reshape(x.shape[0], *out), lambda x: x.reshape(x.shape[0], -1)
    )
    for layer in np.ndindex(*kernel[:layers]):
        first, *others = path.split("/")
        name = ".".join([first, *map(str, layer), *others])
        index = (*map(int, layer), ALL) if layers else ()
        yield Entry(
            name=f"{name}.weight",
            path=f"{path}/kernel",
            index=index,
            transform=chain(LINEAR, flat),
        )

"""Convert tensors of files to parameters and back by a family's table.

Import: the headers are compared with the table; then threads fill host buffers of the
parameters, file by file. A parameter moves to its devices as soon as it is complete; on
a CPU it is used in place.
"""

from __future__ import annotations

import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from etils import epath
from flax.traverse_util import unflatten_dict
from jax.typing import DTypeLike
from jaxtyping import Array

from sora_jax import sharding
from sora_jax.families.table import Entry
from sora_jax.nn.quantized import is_quantized, quantize_kernel
from sora_jax.weights.headers import StoredTensor
from sora_jax.weights.mapped import Mapped, map_file
from sora_jax.weights.tensor_checks import differences, is_finite, refuse_infinite

ALIGNMENT = 64  # bytes
BLOCK = 256  # columns transposed at once
Shapes = Mapping[str, jax.ShapeDtypeStruct]


def check_table(
    where: str,
    table: Sequence[Entry],
    stored: Mapping[str, StoredTensor],
    parameters: Shapes,
) -> None:
    """Compare stored tensors with a table.

    Raises:
      ValueError: lists every tensor that is missing, unexpected or of another shape.
    """
    problems = differences(
        {name: tensor.shape for name, tensor in stored.items()},
        {entry.name: entry.file_shape(parameters[entry.path].shape) for entry in table},
    )
    if problems:
        raise ValueError(
            f"weights {where!r} are not those of the model that its config describes:\n"
            + "\n".join(problems)
        )


def read_parameters(
    where: str,
    table: Sequence[Entry],
    stored: Mapping[str, StoredTensor],
    parameters: Shapes,
) -> dict[str, Any]:
    """Read every tensor of a table into parameters.

    Args:
      where: the folder, for messages.
      table: the model's tensors.
      stored: their locations in files.
      parameters: shape, dtype and (perhaps) sharding of the parameters, by path.

    Returns:
      The parameters as nested dicts.

    Raises:
      ValueError: the files differ from the table, or hold NaN or infinity.
    """
    check_table(where, table, stored, parameters)
    by_file: dict[epath.Path, list[Entry]] = defaultdict(list)
    for entry in table:
        by_file[stored[entry.name].file].append(entry)
    paths = {e.name: _paths(e, parameters) for e in table}
    missing = Counter(path for entry in table for path in paths[entry.name])
    infinite: list[str] = []
    hosted: dict[str, np.ndarray] = {}
    params: dict[str, Array] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, entries in by_file.items():
            for entry in entries:
                for name in paths[entry.name]:
                    if name not in hosted:
                        shape = parameters[name]
                        hosted[name] = aligned_buffer(shape.shape, shape.dtype)
            with map_file(path) as file:
                jobs = [
                    pool.submit(
                        copy_tensor,
                        [hosted[path] for path in paths[e.name]],
                        file,
                        stored[e.name],
                        e,
                    )
                    for e in entries
                ]
                for entry, job in zip(entries, jobs, strict=True):
                    if not job.result():
                        infinite.append(entry.name)
            missing.subtract(path for entry in entries for path in paths[entry.name])
            for name in [name for name in hosted if not missing[name]]:
                params[name] = sharding.place(
                    hosted.pop(name), parameters[name].sharding, may_alias=True
                )
    refuse_infinite(where, infinite)
    return unflatten_dict(params, sep="/")


def _paths(entry: Entry, parameters: Shapes) -> list[str]:
    """Return the paths that an entry fills: also the scales of a quantised kernel."""
    if not is_quantized(parameters[entry.path].dtype):
        return [entry.path]
    return [entry.path, f"{entry.path}_scale"]


def aligned_buffer(shape: Sequence[int], dtype: DTypeLike) -> np.ndarray:
    """Allocate memory that JAX on a CPU uses without a copy."""
    kind = np.dtype(dtype)
    size = math.prod(shape) * kind.itemsize
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size].view(kind).reshape(shape)


def copy_tensor(
    parameters: Sequence[np.ndarray], file: Mapped, stored: StoredTensor, entry: Entry
) -> bool:
    """Transform a tensor into its parameter, or a kernel in 8 bits and its scales.

    Returns:
      Whether all values are finite.
    """
    part = parameters[0][entry.index]
    if len(parameters) > 1:
        # Without the axis of the features that come in, the second one.
        scale = parameters[1][(*entry.index[:1], *entry.index[2:])]
        all_finite = _quantize_tensor(part, scale, file, stored, entry)
    else:
        all_finite = _copy(part, entry.transform.forward(values(file, stored)))
    file.forget(stored)
    return all_finite


def _copy(part: np.ndarray, tensor: np.ndarray) -> bool:
    """Copy a transformed tensor in blocks: a plain transpose is slow."""
    all_finite = True
    kind = part.dtype
    if kind == tensor.dtype:
        # NumPy copies integers faster than extension dtypes such as bfloat16.
        kind = f"u{part.dtype.itemsize}"
    for start in range(0, part.shape[-1], BLOCK):
        block = np.s_[..., start : start + BLOCK]
        piece = tensor[block]
        # Copy in memory order first: the transpose then reads from the cache.
        lies = piece.T if piece.T.flags.c_contiguous else piece
        all_finite = all_finite and is_finite(lies)
        part[block].view(kind)[...] = piece.view(kind) if kind != part.dtype else piece
    return all_finite


def _quantize_tensor(
    part: np.ndarray,
    scale: np.ndarray,
    file: Mapped,
    stored: StoredTensor,
    entry: Entry,
) -> bool:
    """Fill part of a kernel in 8 bits, and its scales; see `copy_tensor`."""
    if stored.scale is not None and stored.scale.count == 1:
        if part.dtype == stored.numpy_dtype:  # exactly as in the file
            scale[...] = file.tensor(stored.scale).item()
            same = _copy(part, entry.transform.forward(file.tensor(stored)))
            return same and is_finite(scale)
    tensor, all_finite = entry.transform.forward(values(file, stored)), True
    for start in range(0, part.shape[-1], BLOCK):
        block = np.s_[..., start : start + BLOCK]
        all_finite = all_finite and is_finite(tensor[block])
        part[block], scale[block] = quantize_kernel(tensor[block], part.dtype)
    return all_finite


def values(file: Mapped, stored: StoredTensor) -> np.ndarray:
    """Return the values of a tensor, scaled in float32 where it has a scale."""
    tensor = file.tensor(stored)
    if stored.scale is None:
        return tensor
    scale = file.tensor(stored.scale).astype(np.float32)
    rows = (-1, *[1] * (tensor.ndim - 1))  # also for one number
    return tensor.astype(np.float32) * scale.reshape(rows)


def export_tensors(
    table: Sequence[Entry], params: Mapping[str, Any]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the tensors of a table from parameters, one by one.

    Args:
      table: the model's tensors.
      params: the parameters by path.
    """
    groups: dict[str, list[Entry]] = defaultdict(list)
    for entry in table:
        groups[entry.path].append(entry)
    for path, entries in groups.items():
        whole = np.asarray(params[path])
        for entry in entries:
            yield (
                entry.name,
                np.ascontiguousarray(entry.transform.inverse(whole[entry.index])),
            )

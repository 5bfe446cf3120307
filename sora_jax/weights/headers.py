"""Read and check the headers of safetensors files, without their tensors."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Annotated

import jax.numpy as jnp
import msgspec
import numpy as np
from etils import epath

from sora_jax import files, limits

DTYPES = {"F32": jnp.float32, "BF16": jnp.bfloat16, "F16": jnp.float16}
# Types of weights that are stored in 8 bits, plain or with scales beside.
SMALL = {"F8_E4M3": jnp.float8_e4m3fn, "F8_E5M2": jnp.float8_e5m2}
# Types of single numbers and of bytes besides.
NUMBERS = {**DTYPES, **SMALL, "F64": np.float64, "I64": np.int64, "I32": np.int32}
NUMBERS["U8"] = np.uint8
# What ComfyUI and others write beside a weight in 8 bits: the numbers that it is to be
# multiplied by, those of activations (unused here), and how it was made.
SCALES = (".scale_weight", ".weight_scale")
BESIDE_SMALL = (".scale_input", ".input_scale", ".comfy_quant")
MARKER = "scaled_fp8"

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class _Tensor(msgspec.Struct):
    dtype: str
    shape: Annotated[list[_Count], msgspec.Meta(max_length=limits.AXES)]
    data_offsets: tuple[_Count, _Count]


@dataclasses.dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file."""

    file: epath.Path
    shape: tuple[int, ...]
    dtype: str
    # Offset in the file in bytes.
    begin: int
    # What its values are to be multiplied by: one number, or one for each row.
    scale: StoredTensor | None = None

    @property
    def numpy_dtype(self) -> np.dtype:
        """The NumPy dtype."""
        return np.dtype(NUMBERS[self.dtype])

    @property
    def value_dtype(self) -> np.dtype:
        """The dtype to keep its values in, which has no scale beside."""
        return np.dtype(jnp.bfloat16) if self.dtype in SMALL else self.numpy_dtype

    @property
    def count(self) -> int:
        """Values."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes on disk."""
        return self.count * self.numpy_dtype.itemsize


def same_name(name: str) -> str | None:
    """Keep a tensor's name."""
    return name


def read_headers(
    paths: list[epath.Path],
    canonical: Callable[[str], str | None] = same_name,
) -> dict[str, StoredTensor]:
    """Return the tensors of files by name; reads only the headers.

    Args:
      paths: the files.
      canonical: the name to return a tensor by; None ignores it.

    Raises:
      ValueError: a file is damaged, or has tensors of an unsupported dtype.
    """
    found: dict[str, StoredTensor] = {}
    for path in paths:
        for written, tensor in tensors_in(path).items():
            name = canonical(written)
            if name is None:
                continue
            if name in found:
                raise ValueError(
                    f"tensor {name!r} is in {found[name].file} and in {path}: keep "
                    "only one of the files"
                )
            found[name] = tensor
    found = with_scales(found)
    odd = sorted({item.dtype for item in found.values()} - {*DTYPES, *SMALL})
    if odd:
        told = files.quoted(", ".join(odd))
        raise ValueError(
            f"weights in {str(paths[0].parent)!r} are of type {told}; give weights in "
            "float32, bfloat16, float16 or float8"
        )
    return found


def with_scales(found: dict[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Attach the scales of weights in 8 bits to them.

    Raises:
      ValueError: lists the scales that are neither one number nor one for each row.
    """
    joined, problems = dict(found), []
    joined.pop(MARKER, None)
    for name, tensor in found.items():
        layer, dot, kind = name.rpartition(".")
        weight = joined.get(f"{layer}.weight")
        if weight is None or weight.dtype not in SMALL:
            continue
        if dot + kind in BESIDE_SMALL:
            del joined[name]
        if dot + kind in SCALES:
            del joined[name]
            rows = weight.shape[:1]
            shapes = ((), (1,), (1, 1), rows, (*rows, 1))
            if tensor.dtype not in DTYPES or tensor.shape not in shapes or weight.scale:
                problems.append(
                    f"{name} must be one number, or one for each row of "
                    f"{files.quoted(list(weight.shape))}, in float32, and the only "
                    f"scale; got the shape {files.quoted(list(tensor.shape))} of type "
                    f"{files.quoted(tensor.dtype)}"
                )
            joined[f"{layer}.weight"] = dataclasses.replace(weight, scale=tensor)
    if problems:
        file = next(iter(found.values())).file
        raise ValueError(
            f"weights {str(file)!r}: scales in blocks are not supported; give weights "
            "in bfloat16, or with a scale for each tensor:\n" + "\n".join(problems[:8])
        )
    return joined


def tensors_in(path: epath.Path) -> dict[str, StoredTensor]:
    """Locate the tensors of a file.

    Raises:
      ValueError: the header does not match the file's length, or a tensor its shape.
    """
    header, begin = read_header(path)
    length = files.existing(path, "weights").stat().length
    found, end = {}, 0
    # The format allows no gaps and no overlaps between tensors.
    for name, item in sorted(header.items(), key=lambda pair: pair[1].data_offsets):
        first, last = item.data_offsets
        tensor = StoredTensor(path, tuple(item.shape), item.dtype, begin + first)
        known = tensor.dtype in NUMBERS  # the caller refuses other dtypes
        if first != end or last < first:
            told = f"{files.quoted(name)} has the offsets {first} to {last}"
            raise damaged(path, f"{told}, and the one before ends at {end}")
        if known and tensor.bytes != last - first:
            told = files.quoted(item.shape)
            raise damaged(path, f"{name} has {last - first} bytes for {told}")
        found[name], end = tensor, last
    if begin + end != length:
        raise damaged(path, f"it has {length} bytes instead of {begin + end}")
    return found


def read_header(path: epath.Path) -> tuple[dict[str, _Tensor], int]:
    """Return the header of a safetensors file, and the offset of its tensors.

    Raises:
      ValueError: the header is invalid.
    """
    tensors, begin, _ = _read_header(path)
    return tensors, begin


def read_metadata(path: epath.Path) -> dict[str, str]:
    """Read the metadata in the header of a safetensors file.

    Raises:
      ValueError: the header is invalid, or the metadata are not strings by name.
    """
    _, _, metadata = _read_header(path)
    try:
        return files.decode_json(metadata, dict[str, str])
    except ValueError as error:
        raise damaged(path, f"its metadata are invalid: {error}") from error


def _read_header(path: epath.Path) -> tuple[dict[str, _Tensor], int, bytes]:
    with files.existing(path, "weights").open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if not 2 <= size <= limits.HEADER_BYTES:
            raise damaged(path, "it does not begin like a safetensors file")
        text = file.read(size)
    try:
        # Count before parsing: each tensor has four colons, and metadata have more.
        if text.count(b":") > 10 * limits.TENSORS:
            raise ValueError(f"it lists more than {limits.TENSORS} tensors")
        # Item by item, since metadata have another type.
        items = files.decode_json(text, dict[str, msgspec.Raw])
        metadata = bytes(items.pop("__metadata__", b"{}"))
        if len(items) > limits.TENSORS:
            raise ValueError(f"it lists more than {limits.TENSORS} tensors")
        if text.count(b'"data_offsets"') > len(items):
            raise ValueError("a name stands twice")
        tensors = {n: files.decode_json(item, _Tensor) for n, item in items.items()}
    except ValueError as error:
        raise damaged(path, f"its header is invalid: {error}") from error
    return tensors, 8 + size, metadata


def damaged(path: epath.Path, how: str) -> ValueError:
    """Return the error for a damaged file."""
    return ValueError(
        f"weights {str(path)!r} are damaged or cut short ({how}); copy or download the "
        "file again"
    )

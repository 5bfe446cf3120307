"""Others' weights on disk: a folder of safetensors shards, read tensor by tensor.

Headers alone say which tensors there are and of what shape, so all that is wrong with
a folder is known before anything large is read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import mmap
import os
import re
import tempfile
from collections.abc import Iterator
from typing import Annotated

import jax.numpy as jnp
import msgspec
import numpy as np
from etils import epath

from sora_jax import files, limits
from sora_jax.files import PathLike
from sora_jax.weights import safetensors_io
from sora_jax.workdir import read_json

INSIDE = r"[^/\\\x00-\x1f]+\.safetensors"  # a name, and no path
SHARD = re.compile(r"-of-(\d+)\.safetensors$")
DTYPES = {"F32": jnp.float32, "BF16": jnp.bfloat16, "F16": jnp.float16}


_Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


class _Tensor(msgspec.Struct):
    dtype: str
    shape: Annotated[list[_Count], msgspec.Meta(max_length=limits.AXES)]
    data_offsets: tuple[_Count, _Count]


@dataclasses.dataclass(frozen=True)
class Stored:
    """A tensor that lies in a file."""

    file: epath.Path
    shape: tuple[int, ...]
    dtype: str
    # Where it begins in the file, in bytes.
    begin: int

    @property
    def numpy_dtype(self) -> np.dtype:
        """Its type as NumPy names it."""
        return jnp.dtype(DTYPES[self.dtype])

    @property
    def bytes(self) -> int:
        """What it takes on disk."""
        return math.prod(self.shape) * self.numpy_dtype.itemsize


def find(folder: PathLike, begins: str = "") -> list[epath.Path]:
    """The safetensors files of a folder, complete as their index says.

    Args:
      folder: where they lie.
      begins: how their names begin.

    Raises:
      ValueError: there are none, a shard is missing, or there are pickles instead.
    """
    where = epath.Path(folder)
    indices = sorted(where.glob(f"{begins}*.safetensors.index.json"))
    if indices:
        listed = read_json(
            indices[0], "copy or download it again", _Index, limits.INDEX_BYTES
        )
        names = sorted(set(listed.weight_map.values()))
        elsewhere = [name for name in names if not re.fullmatch(INSIDE, name)]
        if elsewhere or not names:
            told = files.quoted(elsewhere[0]) if elsewhere else "nothing"
            raise ValueError(
                f"{indices[0]} names {told} in the place of safetensors files beside "
                "it: copy or download it again"
            )
        missing = [name for name in names if not (where / name).exists()]
        if missing:
            raise ValueError(
                f"weights folder {str(folder)!r} lacks {', '.join(missing)} of its "
                f"{len(names)} shards: copy or download them again"
            )
        return [where / name for name in names]
    found = sorted(where.glob(f"{begins}*.safetensors"))
    numbered = [SHARD.search(path.name) for path in found]
    counts = {int(match[1]) for match in numbered if match}
    if counts and (len(counts) > 1 or counts != {len(found)}):
        raise ValueError(
            f"weights folder {str(folder)!r} holds {len(found)} of "
            f"{max(counts)} shards and no index: copy or download it again"
        )
    if not found:
        refuse_pickles(where, f"{begins}*")
        raise ValueError(
            f"weights folder {str(folder)!r} holds no {begins}*.safetensors: copy or "
            "download it again"
        )
    return found


def refuse_pickles(where: epath.Path, pattern: str) -> None:
    """Refuse a folder that holds pickles where safetensors are looked for."""
    found = [
        p.name for kind in safetensors_io.PICKLES for p in where.glob(pattern + kind)
    ]
    if found:
        raise ValueError(
            f"weights folder {str(where)!r} holds {', '.join(sorted(found))}, which "
            "may be pickles and can run any code: convert them to .safetensors where "
            "you trust them"
        )


def read_headers(paths: list[epath.Path]) -> dict[str, Stored]:
    """What tensors there are; of each file only its header is read.

    Raises:
      ValueError: a file is damaged, or holds tensors of a type that is no weight.
    """
    found: dict[str, Stored] = {}
    for path in paths:
        for name, tensor in tensors_in(path).items():
            if name in found:
                raise ValueError(
                    f"tensor {name!r} is in {found[name].file} and in {path}: leave "
                    "the one file that is meant"
                )
            found[name] = tensor
    odd = sorted({item.dtype for item in found.values()} - set(DTYPES))
    if odd:
        told = files.quoted(", ".join(odd))
        raise ValueError(
            f"weights in {str(paths[0].parent)!r} are of type {told}; "
            "give a folder of float32, bfloat16 or float16 weights"
        )
    return found


def tensors_in(path: epath.Path) -> dict[str, Stored]:
    """Where the tensors of a file lie.

    Raises:
      ValueError: its header does not fit its length, or a tensor its shape.
    """
    header, begin = read_header(path)
    length = files.existing(path, "weights").stat().length
    found, end = {}, 0
    # Whoever writes a file leaves nothing between the tensors, and nothing twice.
    for name, item in sorted(header.items(), key=lambda pair: pair[1].data_offsets):
        first, last = item.data_offsets
        tensor = Stored(path, tuple(item.shape), item.dtype, begin + first)
        known = tensor.dtype in DTYPES  # others are refused by who reads them
        if first != end or last < first:
            told = f"{files.quoted(name)} is said to be at {first} to {last}"
            raise damaged(path, f"{told}, and the one before ends at {end}")
        if known and tensor.bytes != last - first:
            told = files.quoted(item.shape)
            raise damaged(path, f"{name} has {last - first} bytes for {told}")
        found[name], end = tensor, last
    if begin + end != length:
        raise damaged(path, f"it has {length} bytes in the place of {begin + end}")
    return found


def read_header(path: epath.Path) -> tuple[dict[str, _Tensor], int]:
    """The header of a safetensors file, and where its tensors begin.

    Raises:
      ValueError: there is none.
    """
    with files.existing(path, "weights").open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if not 2 <= size <= limits.HEADER_BYTES:
            raise damaged(path, "it does not begin like a safetensors file")
        text = file.read(size)
    try:
        # Counted before anything is made of it. A tensor takes four colons, and what
        # stands beside the tensors some more.
        if text.count(b":") > 10 * limits.TENSORS:
            raise ValueError(f"it lists more than {limits.TENSORS} tensors")
        # Item by item: what stands beside the tensors is of another kind.
        items = files.decode_json(text, dict[str, msgspec.Raw])
        items.pop("__metadata__", None)
        if len(items) > limits.TENSORS:
            raise ValueError(f"it lists more than {limits.TENSORS} tensors")
        if text.count(b'"data_offsets"') > len(items):
            raise ValueError("a name stands twice")
        tensors = {n: files.decode_json(item, _Tensor) for n, item in items.items()}
    except ValueError as error:
        raise damaged(path, f"its header is not as it must be: {error}") from error
    return tensors, 8 + size


def damaged(path: epath.Path, how: str) -> ValueError:
    """An error that tells what is wrong with a file, and the remedy."""
    return ValueError(
        f"weights {str(path)!r} are damaged or cut short ({how}); copy or download the "
        "file again"
    )


class Mapped:
    """The tensors of a file, as views of its pages."""

    def __init__(self, pages: mmap.mmap):
        self.pages = pages

    def tensor(self, stored: Stored) -> np.ndarray:
        """A tensor; it is read when it is looked at."""
        count = math.prod(stored.shape)
        flat = np.frombuffer(self.pages, stored.numpy_dtype, count, stored.begin)
        return flat.reshape(stored.shape)

    def forget(self, stored: Stored) -> None:
        """Give back the memory of a tensor's pages, where the system can."""
        if hasattr(self.pages, "madvise"):
            start = -(-stored.begin // mmap.PAGESIZE) * mmap.PAGESIZE
            length = (stored.begin + stored.bytes - start) // mmap.PAGESIZE
            if length > 0:
                self.pages.madvise(mmap.MADV_DONTNEED, start, length * mmap.PAGESIZE)


@contextlib.contextmanager
def mapped(path: epath.Path) -> Iterator[Mapped]:
    """Open a file, wherever it is."""
    with contextlib.ExitStack() as stack:
        if "://" in os.fspath(path):
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            path = path.copy(epath.Path(folder) / path.name)
        file = stack.enter_context(open(os.fspath(path), "rb"))
        # Closed when the last view of it is gone.
        yield Mapped(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

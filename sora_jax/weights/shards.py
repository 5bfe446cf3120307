"""Others' weights on disk: a folder of safetensors shards, read tensor by tensor.

Headers alone say which tensors there are and of what shape, so all that is wrong with
a folder is known before anything large is read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import mmap
import os
import re
import tempfile
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
from etils import epath

from sora_jax.files import PathLike
from sora_jax.weights import native
from sora_jax.workdir import read_json

LONGEST_HEADER = 100_000_000  # bytes: what the format allows
SHARD = re.compile(r"-of-(\d+)\.safetensors$")
DTYPES = {"F32": jnp.float32, "BF16": jnp.bfloat16, "F16": jnp.float16}


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
        listed = read_json(indices[0], "copy or download it again")["weight_map"]
        names = sorted(set(listed.values()))
        missing = [name for name in names if not (where / name).exists()]
        if missing:
            raise ValueError(
                f"weights folder {str(folder)!r} lacks {', '.join(missing)} of its "
                f"{len(names)} shards: copy or download them again"
            )
        return [where / name for name in names]
    files = sorted(where.glob(f"{begins}*.safetensors"))
    numbered = [SHARD.search(path.name) for path in files]
    counts = {int(match[1]) for match in numbered if match}
    if counts and (len(counts) > 1 or counts != {len(files)}):
        raise ValueError(
            f"weights folder {str(folder)!r} holds {len(files)} of "
            f"{max(counts)} shards and no index: copy or download it again"
        )
    if not files:
        refuse_pickles(where, f"{begins}*")
        raise ValueError(
            f"weights folder {str(folder)!r} holds no {begins}*.safetensors: copy or "
            "download it again"
        )
    return files


def refuse_pickles(where: epath.Path, pattern: str) -> None:
    """Refuse a folder that holds pickles where safetensors are looked for."""
    found = [p.name for kind in native.PICKLES for p in where.glob(pattern + kind)]
    if found:
        raise ValueError(
            f"weights folder {str(where)!r} holds {', '.join(sorted(found))}, which "
            "may be pickles and can run any code: convert them to .safetensors where "
            "you trust them"
        )


def read_headers(files: list[epath.Path]) -> dict[str, Stored]:
    """What tensors there are; of each file only its header is read.

    Raises:
      ValueError: a file is damaged, or holds tensors of a type that is no weight.
    """
    found: dict[str, Stored] = {}
    for path in files:
        for name, tensor in tensors_in(path).items():
            if name in found:
                raise ValueError(
                    f"tensor {name!r} is in {found[name].file} and in {path}: leave "
                    "the one file that is meant"
                )
            found[name] = tensor
    odd = sorted({item.dtype for item in found.values()} - set(DTYPES))
    if odd:
        raise ValueError(
            f"weights in {str(files[0].parent)!r} are of type {', '.join(odd)}; "
            "give a folder of float32, bfloat16 or float16 weights"
        )
    return found


def tensors_in(path: epath.Path) -> dict[str, Stored]:
    """Where the tensors of a file lie.

    Raises:
      ValueError: its header does not fit its length, or a tensor its shape.
    """
    header, begin = read_header(path)
    found, end = {}, begin
    for name, item in header.items():
        if name == "__metadata__":
            continue
        first, last = item["data_offsets"]
        tensor = Stored(path, tuple(item["shape"]), item["dtype"], begin + first)
        known = tensor.dtype in DTYPES  # others are refused by who reads them
        if known and (min((0, *tensor.shape)) < 0 or tensor.bytes != last - first):
            shape = list(tensor.shape)
            raise damaged(path, f"{name} has {last - first} bytes for {shape}")
        found[name], end = tensor, max(end, begin + last)
    length = path.stat().length
    if end != length:
        raise damaged(path, f"it has {length} bytes in the place of {end}")
    return found


def read_header(path: epath.Path) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and where its tensors begin.

    Raises:
      ValueError: there is none.
    """
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if not 2 <= size <= LONGEST_HEADER:
            raise damaged(path, "it does not begin like a safetensors file")
        text = file.read(size)
    try:
        return json.loads(text), 8 + size
    except ValueError as error:
        raise damaged(path, "its header is no JSON") from error


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

"""Others' weights on disk: a folder of safetensors shards, read tensor by tensor.

Headers alone say which tensors there are and of what shape, so all that is wrong with
a folder is known before anything large is read.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping

import jax.numpy as jnp
import numpy as np
from etils import epath

from sora_jax.weights import native
from sora_jax.workdir import PathLike, read_json

DTYPES = {"F32": jnp.float32, "BF16": jnp.bfloat16, "F16": jnp.float16}


@dataclasses.dataclass(frozen=True)
class Stored:
    """A tensor that lies in a file."""

    file: epath.Path
    shape: tuple[int, ...]
    dtype: str

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
    if not files:
        refuse_pickles(where, f"{begins}*")
        raise ValueError(
            f"weights folder {str(folder)!r} holds no {begins}*.safetensors"
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
    """What tensors there are, from the headers of their files.

    Raises:
      ValueError: a file is damaged, or holds tensors of a type that is no weight.
    """
    found: dict[str, Stored] = {}
    for path in files:
        with native.opened(path) as file:
            for name in file.keys():
                tensor = file.get_slice(name)
                shape, dtype = tuple(tensor.get_shape()), tensor.get_dtype()
                found[name] = Stored(path, shape, dtype)
    odd = sorted({item.dtype for item in found.values()} - set(DTYPES))
    if odd:
        raise ValueError(
            f"weights in {str(files[0].parent)!r} are of type {', '.join(odd)}; "
            "give a folder of float32, bfloat16 or float16 weights"
        )
    return found


def tensors(stored: Mapping[str, Stored]) -> Iterator[tuple[str, np.ndarray]]:
    """Read tensors one by one, file by file."""
    files: dict[epath.Path, list[str]] = {}
    for name, item in stored.items():
        files.setdefault(item.file, []).append(name)
    for path, names in files.items():
        with native.opened(path) as file:
            for name in names:
                yield name, file.get_tensor(name)

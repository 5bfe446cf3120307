"""Save nested dicts of arrays as safetensors files, and load them with checks."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from etils import epath

from sora_jax import files, sharding
from sora_jax.files import PathLike
from sora_jax.weights.modules import PureDict, flatten
from sora_jax.weights.tensor_checks import (
    differences,
    is_finite,
    listed,
    refuse_infinite,
)
from sora_jax.workdir import write_bytes

PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin")
# What safetensors calls floating-point types.
FLOATS = ("F64", "F32", "F16", "BF16")


def save_tensors(
    path: PathLike,
    tensors: PureDict,
    dtype: str | None = "bfloat16",
) -> None:
    """Write nested arrays as one safetensors file with names like "blocks/kernel".

    Args:
      path: the file, ending in .safetensors; replaced atomically if it exists.
      tensors: nested dicts of arrays.
      dtype: of stored floating-point arrays; None keeps theirs.
    """
    target = epath.Path(path)
    require_safetensors(target)
    write_bytes(target, serialize(tensors, dtype))


def serialize(tensors: PureDict, dtype: str | None = "bfloat16") -> bytes:
    """Return the bytes that `save_tensors` writes."""
    flat = {}
    for name, value in flatten(tensors).items():
        array = np.array(value, order="C")
        if dtype is not None and jnp.issubdtype(array.dtype, jnp.floating):
            array = np.asarray(array.astype(jnp.dtype(dtype)))
        flat[name] = array
    return safetensors.numpy.save(flat)


def load_tensors(path: PathLike, abstract: PureDict) -> dict[Any, Any]:
    """Read a file of `save_tensors` as JAX arrays of the given dtypes.

    Args:
      path: the file.
      abstract: nested dicts of `jax.ShapeDtypeStruct`, perhaps with shardings.

    Raises:
      ValueError: the file is missing or damaged, names, shapes or dtypes differ, or it
        holds NaN or infinity; lists them all.
    """
    wanted = flatten(abstract)
    infinite = []
    with _opened(path) as file:
        slices = {name: file.get_slice(name) for name in file.keys()}
        stored = {name: part.get_shape() for name, part in slices.items()}
        problems = differences(stored, {n: x.shape for n, x in wanted.items()})
        floating = {
            n for n, x in wanted.items() if jnp.issubdtype(x.dtype, np.floating)
        }
        kinds = {name: part.get_dtype() for name, part in slices.items()}
        problems += listed(
            "of another type",
            (
                f"{name}: {kinds[name]} in the file, {wanted[name].dtype} wanted"
                for name in kinds.keys() & wanted.keys()
                if (kinds[name] in FLOATS) != (name in floating)
            ),
        )
        if problems:
            raise ValueError(
                f"weights {os.fspath(path)!r} do not fit the model; use them with the "
                "config.json of their own folder:\n" + "\n".join(problems)
            )

        # Convert one tensor at a time, to limit memory.
        def fill(node: PureDict, prefix: str) -> dict[Any, Any]:
            filled = {}
            for key, child in node.items():
                name = f"{prefix}{key}"
                if isinstance(child, Mapping):
                    filled[key] = fill(child, f"{name}/")
                else:
                    stored = file.get_tensor(name)
                    if not is_finite(stored):
                        infinite.append(name)
                    filled[key] = sharding.place(
                        stored.astype(child.dtype), getattr(child, "sharding", None)
                    )
            return filled

        filled = fill(abstract, "")
    refuse_infinite(os.fspath(path), infinite)
    return filled


def file_hash(path: PathLike) -> str:
    """Return the first 16 hexadecimal digits of a file's SHA-256."""
    digest = hashlib.sha256()
    with epath.Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def _opened(path: PathLike) -> Iterator[Any]:
    """Open a safetensors file, on a disk or in a bucket."""
    target = epath.Path(path)
    named = f"weights {os.fspath(path)!r}"
    require_safetensors(target)
    if not target.exists():
        raise ValueError(f"{named} do not exist; check the spelling of --weights")
    files.existing(target, "weights")
    with contextlib.ExitStack() as stack:
        if "://" in os.fspath(target):
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            target = target.copy(epath.Path(folder) / target.name)
        try:
            file = safetensors.safe_open(os.fspath(target), framework="numpy")
            stack.enter_context(file)
        except (safetensors.SafetensorError, OSError) as error:
            raise ValueError(
                f"{named} are damaged or cut short ({error}); copy or download the "
                "file again"
            ) from error
        yield file


def require_safetensors(path: epath.Path) -> None:
    """Check the suffix of a file.

    Raises:
      ValueError: it is not .safetensors; says what to do.
    """
    if path.suffix in PICKLES:
        raise ValueError(
            f"weights {os.fspath(path)!r} may be a pickle, which can run any code; "
            "convert it to .safetensors if you trust it"
        )
    if path.suffix != ".safetensors":
        raise ValueError(
            f"weights {os.fspath(path)!r} must be a .safetensors file, "
            f"got {path.suffix or 'no suffix'!r}"
        )

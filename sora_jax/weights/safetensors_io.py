"""Our own published weights: safetensors files beside a `config.json`, in one folder.

In flow nested dicts of arrays with plain keys (`nnx.to_pure_dict`); out flow the
same, checked against the shapes that the model expects.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from etils import epath

from sora_jax import files, sharding
from sora_jax.files import PathLike
from sora_jax.workdir import write_bytes

PureDict = Mapping[Any, Any]  # nested, with arrays or their shapes as leaves

Shapes = Mapping[str, Sequence[int]]  # of tensors, by name

PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin")
# What safetensors calls floating-point types.
FLOATS = ("F64", "F32", "F16", "BF16")
_SHOWN = 20  # names of each kind in an error
_BLOCK = 2**17  # numbers that are looked at at once


def save_tensors(
    path: PathLike,
    tensors: PureDict,
    dtype: str | None = "bfloat16",
) -> None:
    """Writes nested arrays as one safetensors file with names like "blocks/kernel".

    Args:
      path: the file, ending in .safetensors; replaced as a whole if it exists.
      tensors: nested dicts of arrays.
      dtype: how floating-point arrays are stored; None keeps their own.
    """
    target = epath.Path(path)
    _require_safetensors(target)
    write_bytes(target, packed(tensors, dtype))


def packed(tensors: PureDict, dtype: str | None = "bfloat16") -> bytes:
    """What `save_tensors` writes."""
    flat = {}
    for name, value in flatten(tensors).items():
        array = np.array(value, order="C")
        if dtype is not None and jnp.issubdtype(array.dtype, jnp.floating):
            array = np.asarray(array.astype(jnp.dtype(dtype)))
        flat[name] = array
    return safetensors.numpy.save(flat)


def load_tensors(path: PathLike, abstract: PureDict) -> dict[Any, Any]:
    """Reads a file of `save_tensors` as jax arrays of the dtypes asked for.

    Args:
      path: the file.
      abstract: nested dicts of `jax.ShapeDtypeStruct`; a sharding in one is obeyed.

    Raises:
      ValueError: the file is missing or damaged, or its names, shapes or types are not
        the expected ones, or it holds what is no number; lists them all.
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
        problems += _listed(
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

        # Inside, so that one tensor at a time is held twice.
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


def is_finite(array: np.ndarray) -> bool:
    """Whether an array of any floating-point type holds no infinity and no NaN."""
    if not jnp.issubdtype(array.dtype, np.floating):
        return True
    size = array.dtype.itemsize
    flat = np.ascontiguousarray(array).reshape(-1)
    # What is no number has the greatest bits of its sign: as integers, read with a
    # sign and without, two maxima tell. They are fast in every type, in blocks that
    # stay in the cache.
    positive, negative = np.array([np.inf, -np.inf], array.dtype)
    views = [
        (flat.view(f"i{size}"), positive.view(f"i{size}")),
        (flat.view(f"u{size}"), negative.view(f"u{size}")),
    ]
    return not any(
        integers[start : start + _BLOCK].max() >= least
        for start in range(0, flat.size, _BLOCK)
        for integers, least in views
    )


def refuse_infinite(where: str, names: Sequence[str]) -> None:
    """Refuse tensors that hold infinities or NaN.

    Raises:
      ValueError: lists them, if there are any.
    """
    if names:
        raise ValueError(
            f"weights {where!r} hold what is no number (NaN or infinity); copy or "
            "download them again:\n" + "\n".join(_listed("in", names))
        )


def file_hash(path: PathLike) -> str:
    """Returns the first 16 hexadecimal digits of a file's SHA-256."""
    digest = hashlib.sha256()
    with epath.Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def _opened(path: PathLike) -> Iterator[Any]:
    """Open a safetensors file, wherever it is, or says what is wrong with it."""
    target = epath.Path(path)
    named = f"weights {os.fspath(path)!r}"
    _require_safetensors(target)
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


def _require_safetensors(path: epath.Path) -> None:
    if path.suffix in PICKLES:
        raise ValueError(
            f"weights {os.fspath(path)!r} may be a pickle, which can run any code; "
            "convert it to .safetensors where you trust it"
        )
    if path.suffix != ".safetensors":
        raise ValueError(
            f"weights {os.fspath(path)!r} must be a .safetensors file, "
            f"got {path.suffix or 'no suffix'!r}"
        )


def differences(stored: Shapes, wanted: Shapes) -> list[str]:
    """Lines that tell which tensors are missing, unexpected or of another shape."""
    misshapen = (
        f"{name}: {list(stored[name])} in the file, {list(wanted[name])} wanted"
        for name in stored.keys() & wanted.keys()
        if tuple(stored[name]) != tuple(wanted[name])
    )
    return [
        *_listed("missing", wanted.keys() - stored.keys()),
        *_listed("unexpected", stored.keys() - wanted.keys()),
        *_listed("of another shape", misshapen),
    ]


def _listed(kind: str, names: Iterable[str]) -> list[str]:
    """Lines of an error that list names of a kind, but not too many."""
    lines = sorted(name if name.isprintable() else files.quoted(name) for name in names)
    if not lines:
        return []
    more = [f"    and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return [f"  {kind}:", *(f"    {line}" for line in lines[:_SHOWN]), *more]


def flatten(node: PureDict, prefix: str = "") -> dict[str, Any]:
    """Nested dicts by paths with slashes."""
    flat: dict[str, Any] = {}
    for key, child in node.items():
        name = f"{prefix}{key}"
        if "/" in str(key):
            raise ValueError(f"parameter name {name!r} must not contain '/' in a key")
        if isinstance(child, Mapping):
            flat |= flatten(child, f"{name}/")
        else:
            flat[name] = child
    return flat

"""Hashes that detect changed files.

They detect accidents (a flipped bit, a file of another folder), not tampering: XXH3 is
as fast as memory. Buckets store a hash of each object, which needs no reading.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import xxhash
from etils import epath

from sora_jax import files
from sora_jax.files import PathLike

_BLOCK = 2**20
_THREADS = 8  # beyond, disks are slower


def of_bytes(content: bytes) -> str:
    """Hash the content of a file."""
    return f"xxh3:{xxhash.xxh3_64_hexdigest(content)}"


def of_json(data: Any) -> str:
    """Hash JSON data, independent of its formatting."""
    return of_bytes(json.dumps(data, sort_keys=True).encode())


def of_items(items: Iterable[Any]) -> str:
    """Hash JSON data item by item, with one in memory."""
    digest = xxhash.xxh3_64()
    for item in items:
        digest.update(json.dumps(item, sort_keys=True).encode() + b"\n")
    return f"xxh3:{digest.hexdigest()}"


def of_file(path: PathLike) -> str:
    """Hash a file, or look up the hash that its bucket stores.

    Raises:
      OSError: it cannot be read.
      ValueError: it is not a regular file.
    """
    source = files.existing(path, "file")
    if files.is_remote(source):
        return _of_object(source)
    digest = xxhash.xxh3_64()
    block = memoryview(bytearray(_BLOCK))
    with open(source, "rb", buffering=0) as file:
        while count := file.readinto(block):
            digest.update(block[:count])
    return f"xxh3:{digest.hexdigest()}"


def of_files(folder: epath.Path, names: Iterable[str]) -> dict[str, str]:
    """Hash files of a folder in parallel; return hashes by name."""
    names = list(names)
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        found = pool.map(lambda name: of_file(folder / name), names)
        return dict(zip(names, found, strict=True))


def refuse_changed(
    folder: epath.Path, kept: Mapping[str, str], names: Iterable[str], remedy: str
) -> None:
    """Refuse files whose hashes differ from the recorded ones.

    Args:
      folder: of the files.
      kept: recorded hashes by name; a file without one (earlier versions) passes.
      names: of the files to check.
      remedy: what to do.

    Raises:
      ValueError: lists every changed file.
    """
    names = [name for name in names if kept.get(name)]
    now = of_files(folder, names)
    changed = [name for name in names if differ(kept[name], now[name])]
    if changed:
        raise ValueError(
            f"{', '.join(changed)} in {files.quoted(folder)} "
            f"{'are' if len(changed) > 1 else 'is'} not as written (the hash is "
            f"another): damaged, or of another folder; {remedy}"
        )


def differ(kept: str, now: str) -> bool:
    """Return whether hashes differ; hashes of different kinds count as equal.

    A folder copied between a bucket and a disk has hashes of another kind.
    """
    return kept.partition(":")[0] == now.partition(":")[0] and kept != now


def _of_object(path: epath.Path) -> str:
    # Only fsspec exposes the hashes that a bucket stores.
    try:
        import fsspec

        system, name = fsspec.url_to_fs(os.fspath(path))
        told = system.info(name)
    except ImportError:
        return ""
    for kind in ("crc32c", "ETag"):
        if told.get(kind):
            return f"{kind}:{told[kind]}"
    return ""

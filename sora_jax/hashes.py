"""Hashes that tell whether a file is still as it was written.

They find accidents (a flipped bit, a file of another folder), not malice: XXH3 is as
fast as memory. A bucket keeps a hash of each object itself, which costs no reading.
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
    """The hash of a file with this content."""
    return f"xxh3:{xxhash.xxh3_64_hexdigest(content)}"


def of_json(data: Any) -> str:
    """The hash of what JSON can hold, however its file is laid out."""
    return of_bytes(json.dumps(data, sort_keys=True).encode())


def of_file(path: PathLike) -> str:
    """The hash of a file: of its content, or what its bucket says of it.

    Raises:
      OSError: it cannot be read.
      ValueError: it is no regular file.
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
    """The hashes of files of a folder by name; several are read at a time."""
    names = list(names)
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        found = pool.map(lambda name: of_file(folder / name), names)
        return dict(zip(names, found, strict=True))


def refuse_changed(
    folder: epath.Path, kept: Mapping[str, str], names: Iterable[str], remedy: str
) -> None:
    """Refuse files that are not those whose hashes were kept.

    Args:
      folder: where the files lie.
      kept: hashes by name; what has none, as in folders of earlier versions, passes.
      names: of the files that are looked at.
      remedy: what to do.

    Raises:
      ValueError: lists every file that was changed.
    """
    names = [name for name in names if kept.get(name)]
    now = of_files(folder, names)
    changed = [name for name in names if differ(kept[name], now[name])]
    if changed:
        raise ValueError(
            f"{', '.join(changed)} in {files.quoted(folder)} "
            f"{'are' if len(changed) > 1 else 'is'} not as written (another hash than "
            f"the one on record): damaged, or of another folder; {remedy}"
        )


def differ(kept: str, now: str) -> bool:
    """Whether hashes differ; those of different kinds cannot be compared.

    A folder that was copied from a bucket to a disk, or back, has hashes of a kind
    that the place where it is now does not know.
    """
    return kept.partition(":")[0] == now.partition(":")[0] and kept != now


def _of_object(path: epath.Path) -> str:
    # Whatever etils reads buckets by, only fsspec shows what the store keeps of them.
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

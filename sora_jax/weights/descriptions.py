"""What describes a folder of ours, with a hash of every file beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from etils import epath

from sora_jax import hashes
from sora_jax.files import PathLike
from sora_jax.workdir import read_json, write_json

COPY = "copy the folder again"
REMEDY = "copy the folder again, or export it again with sora_jax.weights.publish"
# Of a description: the hashes of the files beside it, by name.
HASHES = "hashes"


def refuse_changed(folder: PathLike, name: str) -> None:
    """Refuse a file that is not the one whose hash was kept when it was written.

    Raises:
      ValueError: says what to do.
    """
    where = epath.Path(folder)
    if not exists(where, name):
        return  # who opens it says so
    for described in ("vae.json", "config.json"):
        if exists(where, described):
            _, kept = read_description(where / described)
            hashes.refuse_changed(where, kept, [name], REMEDY)


def write_description(
    path: epath.Path, data: Mapping[str, Any], kept: Mapping[str, str]
) -> None:
    """Write what describes a folder, with its hash and those of files beside it."""
    own = {path.name: hashes.of_json(data)}
    write_json(path, {HASHES: {**kept, **own}, **data})


def read_description(path: epath.Path) -> tuple[dict[str, Any], dict[str, str]]:
    """What describes a folder, and hashes by file; earlier versions kept none.

    Raises:
      ValueError: there is none, or it is not as it was written.
    """
    data = read_json(path, COPY)
    try:
        kept = msgspec.convert(data.pop(HASHES, {}), dict[str, str])
    except msgspec.ValidationError as error:
        raise ValueError(f"{path}: {HASHES}: {error}; {COPY}") from error
    own = kept.pop(path.name, "")
    if own and own != hashes.of_json(data):
        raise ValueError(
            f"{path} is not as written (its hash is another): {REMEDY}; if you changed "
            f"it yourself, delete its line from its {HASHES}"
        )
    return data, kept


def exists(folder: epath.Path, name: str) -> bool:
    """Whether a folder has an entry."""
    return (folder / name).exists()

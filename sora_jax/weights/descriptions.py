"""The JSON that describes a sora_jax folder, with a hash of every other file."""

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
# The field with the hashes of the other files, by name.
HASHES = "hashes"


def refuse_changed(folder: PathLike, name: str) -> None:
    """Refuse a file whose hash differs from the recorded one.

    Raises:
      ValueError: names the file and the remedy.
    """
    where = epath.Path(folder)
    if not exists(where, name):
        return  # opening it reports that it is missing
    for described in ("vae.json", "config.json"):
        if exists(where, described):
            _, kept = read_description(where / described)
            hashes.refuse_changed(where, kept, [name], REMEDY)


def write_description(
    path: epath.Path, data: Mapping[str, Any], kept: Mapping[str, str]
) -> None:
    """Write a folder's description, with its own hash and those of other files."""
    own = {path.name: hashes.of_json(data)}
    write_json(path, {HASHES: {**kept, **own}, **data})


def read_description(path: epath.Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Read a folder's description, and hashes by file (none in earlier versions).

    Raises:
      ValueError: it is missing, or has changed since it was written.
    """
    data = read_json(path, COPY)
    try:
        kept = msgspec.convert(data.pop(HASHES, {}), dict[str, str])
    except msgspec.ValidationError as error:
        raise ValueError(f"{path}: {HASHES}: {error}; {COPY}") from error
    own = kept.pop(path.name, "")
    if own and own != hashes.of_json(data):
        raise ValueError(
            f"{path} is not as written (its hash differs): {REMEDY}; if you changed "
            f"it yourself, delete its line from its {HASHES}"
        )
    return data, kept


def exists(folder: epath.Path, name: str) -> bool:
    """Return whether a folder has an entry."""
    return (folder / name).exists()

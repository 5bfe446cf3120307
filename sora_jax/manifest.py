"""The last file of a checkpoint: how large the others are, and what is known of them.

Written when all the rest is there, it says that a folder is whole; whoever comes later
can see whether it still is.
"""

from __future__ import annotations

import json
from typing import Any

from etils import epath

from sora_jax.workdir import write_json

_NAME = "manifest.json"


def write(folder: epath.Path, metadata: Any) -> None:
    """Declare a folder whole; `metadata` is what JSON can hold."""
    write_json(
        folder / _NAME, {"metadata": metadata, "files": _file_sizes(folder, _NAME)}
    )


def exists(folder: epath.Path) -> bool:
    """Whether a folder was ever whole."""
    return (folder / _NAME).exists()


def metadata(folder: epath.Path) -> Any:
    """What a whole folder was declared with."""
    return json.loads((folder / _NAME).read_text())["metadata"]


def damage(folder: epath.Path) -> str:
    """Say what is wrong with a folder; empty when its files are as written."""
    if not exists(folder):
        return f"its save was interrupted (it has no {_NAME})"
    try:
        expected = json.loads((folder / _NAME).read_text())["files"]
    except (ValueError, KeyError, TypeError):
        return f"{_NAME} is cut short"
    sizes = _file_sizes(folder, _NAME)
    for name, size in expected.items():
        if name not in sizes:
            return f"{name} is missing"
        if sizes[name] != size:
            return f"{name} has {sizes[name]} bytes instead of {size}"
    return ""


def _file_sizes(folder: epath.Path, ignore: str, prefix: str = "") -> dict[str, int]:
    """Lists the bytes of each file below a folder by relative name, but one name's."""
    sizes = {}
    for path in folder.iterdir():
        if path.is_dir():
            sizes |= _file_sizes(path, ignore, f"{prefix}{path.name}/")
        elif path.name != ignore:
            sizes[prefix + path.name] = path.stat().length
    return sizes

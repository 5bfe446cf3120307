"""The manifest of a checkpoint: length and hash of each file, and metadata.

It is written last and marks a folder as complete; readers check the folder against it.
Every host hashes the files that it wrote: the others leave their hashes beside the
files, and the first host gathers them.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
from typing import Annotated, Any

import msgspec
from etils import epath

from sora_jax import files, hashes
from sora_jax.workdir import write_bytes, write_json

_NAME = "manifest.json"
_SEAL = '"seal": "{}"\n}}\n'
# The host that wrote a file, in Orbax's file names.
_WRITER = re.compile(r"process_(\d+)")
_PATIENCE = 600.0  # seconds to wait for the slowest host

_Length = Annotated[int, msgspec.Meta(ge=0)]


class _File(msgspec.Struct, forbid_unknown_fields=True):
    length: _Length
    hash: str


class _Manifest(msgspec.Struct, forbid_unknown_fields=True):
    # Earlier versions recorded only lengths.
    files: dict[str, _File | _Length]
    metadata: dict[str, Any] = {}
    seal: str = ""


def write(folder: epath.Path, metadata: Any, hosts: int = 1) -> None:
    """Write the manifest of a complete folder; only the first host calls this.

    Args:
      folder: with all its files.
      metadata: JSON data.
      hosts: number that wrote files; the others call `leave_hashes`.

    Raises:
      OSError: the hashes of another host are missing.
    """
    found = hashes.of_files(folder, _written_by(folder, 0, hosts))
    for host in range(1, hosts):
        found |= _gathered(folder, host)
    kept: dict[str, _File | _Length] = {
        name: _File(length=_length(folder / name), hash=found[name]) for name in found
    }
    content = msgspec.to_builtins(_Manifest(files=kept, metadata=metadata))
    text = json.dumps(content, indent=2, sort_keys=True) + "\n"
    text = text.removesuffix(_SEAL.format(""))
    seal = _SEAL.format(hashes.of_bytes(text.encode()))
    write_bytes(folder / _NAME, (text + seal).encode())


def leave_hashes(folder: epath.Path, host: int, hosts: int) -> None:
    """Hash the files of another host, for the first host to gather."""
    found = hashes.of_files(folder, _written_by(folder, host, hosts))
    write_json(_left_by(folder, host), found)


def exists(folder: epath.Path) -> bool:
    """Return whether a folder has a manifest."""
    return (folder / _NAME).exists()


def metadata(folder: epath.Path) -> Any:
    """Return the metadata of a folder's manifest."""
    return _read(folder).metadata


def size(folder: epath.Path) -> int:
    """Return the bytes of all files of a folder; 0 without a valid manifest."""
    try:
        kept = _read(folder).files.values()
    except ValueError:
        return 0
    return sum(one.length if isinstance(one, _File) else one for one in kept)


def damage(folder: epath.Path) -> str:
    """Describe missing files and wrong lengths in a folder; "" if there are none."""
    if not folder.is_dir():
        return "it is no folder"
    if not exists(folder):
        return f"its save was interrupted (it has no {_NAME})"
    try:
        expected = _read(folder).files
    except ValueError as error:
        return f"{_NAME} is damaged or cut short ({error})"
    for name, kept in expected.items():
        if os.path.isabs(name) or ".." in name.split("/"):
            return f"{_NAME} names a file elsewhere, {files.quoted(name)}"
        try:
            length = _length(folder / name)
        except (OSError, ValueError):
            return f"{name} is missing"
        wanted = kept.length if isinstance(kept, _File) else kept
        if length != wanted:
            return f"{name} has {length} bytes instead of {wanted}"
    return ""


def changes(folder: epath.Path, part: int = 0, parts: int = 1) -> str:
    """Describe the first file whose hash differs; "" if there is none.

    Args:
      folder: without `damage`.
      part: index of the part of the files to read.
      parts: number of parts, of about the same size.
    """
    kept = {n: f for n, f in _read(folder).files.items() if isinstance(f, _File)}
    names = sorted(kept, key=lambda name: (-kept[name].length, name))[part::parts]
    try:
        now = hashes.of_files(folder, names)
    except (OSError, ValueError) as error:
        return f"a file cannot be read ({error})"
    changed = [name for name in names if hashes.differ(kept[name].hash, now[name])]
    return f"{changed[0]} has changed since it was written" if changed else ""


def _read(folder: epath.Path) -> _Manifest:
    """Read a manifest.

    Raises:
      ValueError: it is invalid, or has changed since it was written.
    """
    text = files.read_text(folder / _NAME, "manifest")
    found = files.decode_json(text, _Manifest, infinite=True)
    if found.seal or any(isinstance(kept, _File) for kept in found.files.values()):
        sealed = text.removesuffix(_SEAL.format(found.seal))
        if found.seal != hashes.of_bytes(sealed.encode()):
            raise ValueError("it is not as it was written")
    return found


def _written_by(folder: epath.Path, host: int, hosts: int) -> list[str]:
    """List the files that a host wrote; files that name no host are the first's."""
    found = []
    for name in _listed(folder):
        writers = {int(number) for number in _WRITER.findall(name)}
        writer = writers.pop() if len(writers) == 1 else 0
        if host == (writer if writer < hosts else 0):
            found.append(name)
    return found


def _listed(folder: epath.Path, prefix: str = "") -> list[str]:
    """List the files below a folder by relative name, without this module's own."""
    names = []
    for path in folder.iterdir():
        if path.is_dir():
            names += _listed(path, f"{prefix}{path.name}/")
        elif prefix or not (path.name == _NAME or path.name.startswith(".hashes_")):
            names.append(prefix + path.name)
    return names


def _left_by(folder: epath.Path, host: int) -> epath.Path:
    return folder / f".hashes_{host}.json"


def _gathered(folder: epath.Path, host: int) -> dict[str, str]:
    """Wait for the hashes of another host; read and delete them."""
    path, deadline = _left_by(folder, host), time.monotonic() + _PATIENCE
    while not path.exists():
        if time.monotonic() > deadline:
            raise OSError(
                f"host {host} did not leave its hashes within {_PATIENCE:.0f} s"
            )
        time.sleep(0.05)
    found = files.decode_json(files.read_text(path, "hashes"), dict[str, str])
    path.unlink()
    return found


def _length(path: epath.Path) -> int:
    """Return the length of a regular file."""
    if files.is_remote(path):
        return path.stat().length
    told = os.stat(path)
    if not stat.S_ISREG(told.st_mode):
        raise ValueError(f"{files.quoted(path)} is no regular file")
    return told.st_size

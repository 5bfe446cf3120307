"""A run's folder: the config it was started with, and files that appear whole."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
from etils import epath

from sora_jax import files, limits, sharding
from sora_jax.files import PathLike

# A full disk, a quota, and a limit on the length of files.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def refuse_other_config(
    workdir: PathLike,
    config: Mapping[str, Any],
    may_differ: tuple[str, ...] = (),
    defaults: Mapping[str, Any] | None = None,
    update: Callable[[dict[str, Any]], dict[str, Any]] = lambda config: config,
) -> None:
    """Refuses to continue a run with another config; changes nothing.

    Args:
      workdir: the run's folder; may be `gs://`.
      config: nested dicts of what JSON can hold.
      may_differ: dotted fields, with all below them, that may change in a run.
      defaults: of fields that a run of an earlier version does not know.
      update: gives the fields of an earlier version their names of today.

    Raises:
      ValueError: the run was started with other values; lists them all.
    """
    path = epath.Path(workdir) / "config.json"
    now = json.loads(json.dumps(config))
    if path.exists():
        remedy = (
            "give another --workdir, or delete that file if you are sure that the "
            "config is the run's"
        )
        before = update(read_json(path, remedy))
        known = dict(_leaves(json.loads(json.dumps(defaults)))) if defaults else {}
        lines = _differences(known | dict(_leaves(before)), now, may_differ)
        if lines:
            raise ValueError(
                f"--workdir {os.fspath(workdir)!r} holds the run of another config:\n"
                + "\n".join(lines)
                + "\ngive another --workdir, or these fields their former values"
            )


def check_shared(workdir: PathLike) -> None:
    """Makes sure that all hosts see one folder; all hosts call this.

    Raises:
      ValueError: they see folders of their own.
    """
    if jax.process_count() == 1:
        return
    is_first = jax.process_index() == 0
    number = sharding.from_first_host(secrets.randbits(30))
    probe = files.located(workdir, "--workdir") / f".seen-{number}"
    with sharding.fail_together():
        if is_first:
            write_bytes(probe, b"")
    with sharding.fail_together():
        if not probe.exists():
            raise ValueError(
                f"--workdir {os.fspath(workdir)!r} must be a folder that all hosts "
                "see: give one of a shared disk, or gs://"
            )
    if is_first:
        probe.unlink()


def keep_config(workdir: PathLike, config: Mapping[str, Any]) -> None:
    """Writes a run's `config.json`, once it is known that the run can start."""
    path = epath.Path(workdir) / "config.json"
    if jax.process_index() == 0:
        write_json(path, config)


def _differences(
    old: dict[str, Any], now: Any, may_differ: tuple[str, ...]
) -> list[str]:
    new = dict(_leaves(now))
    lines = []
    for name in sorted(old.keys() | new.keys()):
        allowed = any(f"{name}.".startswith(f"{prefix}.") for prefix in may_differ)
        values = [json.dumps(c[name]) if name in c else "absent" for c in (old, new)]
        if values[0] != values[1] and not allowed:
            lines.append(f"  {name}: {values[0]} in the run, {values[1]} now")
    return lines


def _leaves(node: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(node, dict) or not node:
        yield name, node
        return
    for key, child in node.items():
        yield from _leaves(child, f"{name}.{key}" if name else key)


def read_json(
    path: epath.Path,
    remedy: str,
    kind: Any = dict[str, Any],
    most: int = limits.CONFIG_BYTES,
) -> Any:
    """Reads a JSON file.

    Args:
      path: of the file.
      remedy: what to do when it is not as it should be.
      kind: what it holds, as a type that msgspec knows.
      most: bytes of it.

    Raises:
      ValueError: it is missing, or is none, or holds something else; says so, and the
        remedy.
    """
    if not path.exists():
        raise ValueError(f"{path} is missing; {remedy}")
    try:
        text = files.read_text(path, "file", most)
    except ValueError as error:
        raise ValueError(f"{error}; {remedy}") from error
    try:
        return files.decode_json(text, kind, infinite=True)
    except ValueError as error:
        raise ValueError(
            f"{path} is not JSON of the kind that belongs there ({error}); {remedy}"
        ) from error


def write_json(path: epath.Path, content: Any) -> None:
    """Writes JSON that is there whole or not at all."""
    write_bytes(path, (json.dumps(content, indent=2, sort_keys=True) + "\n").encode())


def write_bytes(path: epath.Path, content: bytes) -> None:
    """Writes a file under a temporary name, then renames it into place.

    Raises:
      OSError: it cannot be written; where there is no room, says how much it takes.
    """
    with explain_full_disk(path, len(content)):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        try:
            temporary.write_bytes(content)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def explain_full_disk(path: epath.Path, size: int) -> Iterator[None]:
    """Say of a write that finds no room how much it needs.

    Raises:
      OSError: in one line, with the remedy, whatever a library said of it.
    """
    try:
        yield
    except Exception as error:
        if not is_full_disk(error):
            raise
        raise OSError(
            f"{no_room_message(path, size)}: make room, or lift the quota, and start "
            "the same command again"
        ) from error


def no_room_message(path: epath.Path, size: int) -> str:
    """What a message says of a disk that is full."""
    free = _free(path)
    told = "" if free is None else f", there is room for {free / 1e6:.2f} MB"
    return f"No space left for {path}, which takes at least {size / 1e6:.2f} MB{told}"


def has_room(path: epath.Path, size: int) -> bool:
    """Whether a disk has room for so many bytes, as far as it tells."""
    free = _free(path)
    return free is None or free >= size


def _free(path: epath.Path) -> int | None:
    if files.is_remote(path):
        return None
    try:
        place = next(place for place in path.parents if place.exists())
        return shutil.disk_usage(place).free
    except OSError:
        return None


def is_full_disk(error: BaseException) -> bool:
    """Whether an error, of whatever library, comes of a full disk."""
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return True
    return any(os.strerror(number) in str(error) for number in _NO_ROOM)

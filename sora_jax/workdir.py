"""A run's folder: its config, and files that are written atomically."""

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
    update: Callable[[dict[str, Any]], dict[str, Any]] = lambda config: config,
) -> None:
    """Refuse to continue a run with another config; writes nothing.

    Args:
      workdir: the run's folder; may be `gs://`.
      config: nested dicts of JSON data.
      may_differ: dotted fields, with all below them, that may change in a run.
      update: renames the fields of earlier versions, and adds those that they lack.

    Raises:
      ValueError: lists every field with another value.
    """
    path = epath.Path(workdir) / "config.json"
    now = json.loads(json.dumps(config))
    if path.exists():
        remedy = (
            "give another --workdir, or delete that file if you are sure that the "
            "config is the run's"
        )
        before = update(read_json(path, remedy))
        lines = _differences(dict(_leaves(before)), now, may_differ)
        if lines:
            raise ValueError(
                f"--workdir {os.fspath(workdir)!r} holds the run of another config:\n"
                + "\n".join(lines)
                + "\ngive another --workdir, or these fields their former values"
            )


def check_shared(workdir: PathLike) -> None:
    """Check that all hosts share the folder; all hosts call this.

    Raises:
      ValueError: hosts see different folders.
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
    """Write a run's `config.json`; call it once the run is sure to start."""
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
    """Read a JSON file.

    Args:
      path: of the file.
      remedy: what to do if it is invalid.
      kind: its type, for msgspec.
      most: bytes of it, at most.

    Raises:
      ValueError: it is missing, not JSON, or of another type; ends with the remedy.
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
        raise ValueError(f"{path} is not valid ({error}); {remedy}") from error


def write_json(path: epath.Path, content: Any) -> None:
    """Write JSON atomically."""
    write_bytes(path, (json.dumps(content, indent=2, sort_keys=True) + "\n").encode())


def write_bytes(path: epath.Path, content: bytes) -> None:
    """Write a file under a temporary name, then rename it into place.

    Raises:
      OSError: it cannot be written; on a full disk, says how much space it needs.
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
    """Explain a full disk, with the space that a write needs.

    Raises:
      OSError: one line with the remedy, instead of a library's error.
    """
    try:
        yield
    except Exception as error:
        if not is_full_disk(error):
            raise
        raise OSError(
            f"{no_room_message(path, size)}: free space, or raise the quota, and start "
            "the same command again"
        ) from error


def no_room_message(path: epath.Path, size: int) -> str:
    """Return the message for a full disk."""
    free = _free(path)
    room = "" if free is None else f", {free / 1e6:.2f} MB are free"
    return f"No space left for {path}, which needs at least {size / 1e6:.2f} MB{room}"


def has_room(path: epath.Path, size: int) -> bool:
    """Return whether a disk has `size` free bytes; True if unknown."""
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
    """Return whether an error of any library means a full disk."""
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return True
    return any(os.strerror(number) in str(error) for number in _NO_ROOM)

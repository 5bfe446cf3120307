"""Files of JSON lines that survive a kill at any moment.

Lines are appended as they are finished. A kill leaves at most the beginning of a line
at the end of the file, which the next run cuts off.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from sora_jax import limits
from sora_jax.files import PathLike, decode_json, existing, is_remote, located, quoted

# What every line of these files begins with, since the tag of a struct comes first.
BEGIN = b'{"kind":"'


def read(path: PathLike, kind: Any, *, field: str) -> Iterator[Any]:
    """Yield the lines of a journal; a last line without an end is left out.

    Args:
      path: of the file; may be `gs://`.
      kind: type of the lines, a tagged struct or a union of them.
      field: the flag or config field that error messages name.

    Raises:
      ValueError: the file is missing, or a line has another type; names the line.
    """
    with existing(path, field).open("rb") as file:
        number = 0
        while text := file.readline(limits.TEXT_BYTES):
            number += 1
            if not text.endswith(b"\n"):
                _check_torn(text, path, field, number)
                return
            try:
                yield decode_json(text, kind)
            except ValueError as error:
                raise ValueError(
                    f"{field} {quoted(path)}, line {number}: {error}; delete the line, "
                    "or give another file"
                ) from error


def _check_torn(text: bytes, path: PathLike, field: str, number: int) -> None:
    """Refuse a file of another kind, which must not be cut off."""
    if not (text.startswith(BEGIN) or BEGIN.startswith(text)):
        raise ValueError(
            f"{field} {quoted(path)}, line {number} is no JSON line of this program: "
            "give another file"
        )


class Journal:
    """A file of JSON lines that one process at a time appends to."""

    def __init__(self, path: PathLike, field: str, descriptor: int):
        self._path, self._field, self._descriptor = os.fspath(path), field, descriptor

    def append(self, lines: Sequence[msgspec.Struct]) -> None:
        """Append lines, all at once.

        Raises:
          OSError: the disk is full; what was appended before is kept.
        """
        text = memoryview(_encode(lines))
        try:
            while text:
                text = text[os.write(self._descriptor, text) :]
        except OSError as error:
            raise self._unwritten(error) from error

    def replace(self, lines: Iterable[msgspec.Struct]) -> None:
        """Replace all lines; a kill leaves either the old or the new ones."""
        temporary = f"{self._path}.{secrets.token_hex(4)}.tmp"
        try:
            with open(temporary, "wb") as file:
                file.writelines(_encode([line]) for line in lines)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self._path)
        except OSError as error:
            raise self._unwritten(error) from error
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)

    def _unwritten(self, error: OSError) -> OSError:
        reason = error.strerror or error
        return OSError(
            error.errno,
            f"{self._field} {quoted(self._path)} cannot be written ({reason}): free "
            "some space; the same command goes on from here",
        )


@contextlib.contextmanager
def open_journal(
    path: PathLike, kind: Any, *, field: str = "--out"
) -> Iterator[tuple[Journal, list[Any]]]:
    """Open a journal, which is created if missing.

    Args:
      path: on this disk.
      kind: type of the lines.
      field: the flag that error messages name.

    Yields:
      The journal, and the lines that it has.

    Raises:
      ValueError: it is in a bucket, cannot be written, is in use, or holds other lines.
    """
    target = located(path, field)
    if is_remote(target):
        raise ValueError(
            f"{field} {quoted(path)} must be on this disk, since files in buckets "
            "cannot be appended to: copy it there when it is finished"
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            existing(target, field)  # no folder, pipe or device
        descriptor = os.open(target, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    except OSError as error:
        raise ValueError(
            f"{field} {quoted(path)} cannot be written ({error.strerror or error})"
        ) from error
    try:
        _lock(descriptor, path, field)
        lines = list(read(path, kind, field=field))
        _cut_torn_line(descriptor)
        yield Journal(target, field, descriptor), lines
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: PathLike, field: str) -> None:
    """Lock a file until it is closed; the system unlocks it when a process dies."""
    with contextlib.suppress(ImportError):
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(
                f"{field} {quoted(path)} is being written by another process: wait "
                "for its end, or give another file"
            ) from error
        except OSError:  # a disk without locks
            return


def _cut_torn_line(descriptor: int) -> None:
    end = size = os.fstat(descriptor).st_size
    while end and os.pread(descriptor, 1, end - 1) != b"\n":
        end -= 1
    if end < size:
        os.ftruncate(descriptor, end)


def _encode(lines: Iterable[msgspec.Struct]) -> bytes:
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)

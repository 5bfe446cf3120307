"""Read untrusted files: only regular files, and only within limits.

References from one file to another are never followed. Needs no JAX.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import stat
from collections.abc import Iterable
from typing import IO, Any, TypeVar

import msgspec
from etils import epath

from sora_jax import limits

T = TypeVar("T")
PathLike = str | os.PathLike[str]
# Type checks do not take bytes in memory for IO, since these have no name.
BinaryFile = IO[bytes] | io.BytesIO

# URL schemes besides the local disk, and the packages that read them.
REMOTE = {"gs": "gcsfs", "s3": "s3fs"}
_SYSTEM = ("/proc/", "/sys/")  # reading some of these blocks, or never ends
_KINDS = (
    (stat.S_ISDIR, "is a folder; give a file"),
    (stat.S_ISFIFO, "is a pipe; write it to a file first"),
    (stat.S_ISSOCK, "is a socket; give a file"),
    (stat.S_ISCHR, "is a device; give a file"),
    (stat.S_ISBLK, "is a device; give a file"),
)


@dataclasses.dataclass(frozen=True)
class InMemory:
    """The content of a file, which opens like a path."""

    content: bytes

    def open(self, mode: str = "rb") -> io.BytesIO:
        """Open it for reading."""
        del mode
        return io.BytesIO(self.content)


Openable = epath.Path | InMemory


def existing(path: PathLike, field: str) -> epath.Path:
    """Return the path of a regular file, on this disk or in a bucket.

    Args:
      path: of the file.
      field: the flag or config field that error messages name.

    Raises:
      ValueError: it does not exist, or is a folder, a pipe, a device, a socket, or a
        URL of another kind.
    """
    named = f"{field} {quoted(path)}"
    source = located(path, field)
    if is_remote(source):
        if not source.exists():
            raise ValueError(f"{named} does not exist; check the spelling")
        if source.is_dir():
            raise ValueError(f"{named} is a folder; give a file")
        return source
    try:
        mode = os.stat(source).st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ValueError(
            f"{named} does not exist; check the spelling, relative paths start at the "
            "current folder"
        ) from error
    except (OSError, ValueError) as error:  # too long, a loop of links, or a null byte
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"{named} is no file ({reason}); check the spelling"
        ) from error
    for is_kind, remedy in _KINDS:
        if is_kind(mode):
            raise ValueError(f"{named} {remedy}")
    if os.path.realpath(source).startswith(_SYSTEM):
        raise ValueError(f"{named} is a system file; give a file on a disk")
    return source


def located(path: PathLike, field: str) -> epath.Path:
    """Return a path on this disk, or in a bucket whose package is installed.

    Raises:
      ValueError: it is a URL of another kind, or the package is missing.
    """
    try:
        text = os.fspath(path)
    except TypeError as error:
        raise ValueError(f"{field} must be a path, got {quoted(path)}") from error
    if not isinstance(text, str):
        raise ValueError(f"{field} must be a path of text, got {quoted(text)}")
    scheme, colon, _ = text.partition("://")
    if not colon:
        return epath.Path(path)
    if scheme not in REMOTE:
        raise ValueError(
            f"{field} {quoted(path)} is an unsupported URL: give a file on "
            f"this disk, or one in {' or '.join(f'{name}://' for name in REMOTE)}"
        )
    try:
        source = epath.Path(path)
        source.exists()
    except ImportError as error:
        package = REMOTE[scheme]
        raise ValueError(
            f"{field} {quoted(path)} needs the package {package}: pip install {package}"
        ) from error
    return source


def is_remote(path: PathLike) -> bool:
    """Return whether a path is in a bucket."""
    return "://" in os.fspath(path)


def check_size(path: PathLike, field: str, most: int) -> epath.Path:
    """Return the path of a regular file of at most `most` bytes.

    Raises:
      ValueError: see `existing`; or the file is larger.
    """
    source = existing(path, field)
    if source.stat().length > most:
        raise _too_large(path, field, most)
    return source


def read_bytes(path: PathLike, field: str, most: int = limits.TEXT_BYTES) -> bytes:
    """Read a small file.

    Raises:
      ValueError: see `existing`; or it cannot be read, or is larger.
    """
    source = existing(path, field)
    try:
        with source.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise ValueError(
            f"{field} {quoted(path)} cannot be read ({error.strerror or error})"
        ) from error
    if len(content) > most:
        raise _too_large(path, field, most)
    return content


def _too_large(path: PathLike, field: str, most: int) -> ValueError:
    return ValueError(
        f"{field} {quoted(path)} is larger than {most} bytes: give a smaller file"
    )


def read_text(path: PathLike, field: str, most: int = limits.TEXT_BYTES) -> str:
    """Read a text file as UTF-8, without its byte-order mark.

    Raises:
      ValueError: see `read_bytes`; or the file is not UTF-8.
    """
    try:
        return read_bytes(path, field, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{field} {quoted(path)} is not UTF-8 text ({error}): save it as UTF-8"
        ) from error


def decode_json(
    text: str | bytes | msgspec.Raw,
    kind: type[T] | Any = Any,
    *,
    infinite: bool = False,
) -> T:
    """Parse JSON as a type that msgspec supports.

    Args:
      text: to parse.
      kind: the type.
      infinite: also accept Infinity and NaN, which Python writes, though not JSON.

    Raises:
      ValueError: it is not JSON, is nested too deeply, or has another type; says where.
    """
    found: Any
    try:
        # Python's own parser builds every object, of any size.
        if infinite and _is_infinite(text):
            found = msgspec.convert(json.loads(text), kind)
        else:
            found = msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, ValueError) as error:
        raise ValueError(str(error)) from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if _is_deep(found):
        raise ValueError(f"it is nested more than {limits.NESTING} deep")
    return found


def _is_infinite(text: str | bytes | msgspec.Raw) -> bool:
    if isinstance(text, str):
        return "NaN" in text or "Infinity" in text
    return b"NaN" in bytes(text) or b"Infinity" in bytes(text)


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(limits.NESTING + 1):
        level = [
            child
            for item in level
            for child in _children(item)
            if isinstance(child, (dict, list, msgspec.Struct))
        ]
        if not level:
            return False
    return True


def _children(item: Any) -> Iterable[Any]:
    if isinstance(item, dict):
        return item.values()
    if isinstance(item, list):
        return item
    return msgspec.structs.astuple(item) if isinstance(item, msgspec.Struct) else ()


def quoted(value: Any) -> str:
    """Quote a value for a message: one line, printable, and not too long."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    try:
        text = ascii(value) if not _is_printable(value) else repr(value)
    except (ValueError, RecursionError):  # more digits, or levels, than Python prints
        return f"a large {type(value).__name__}"
    if len(text) <= limits.QUOTED:
        return text
    length = f" ({len(value)} characters)" if isinstance(value, str) else ""
    return f"{text[: limits.QUOTED]}…{length}"


def _is_printable(value: Any) -> bool:
    # Surrogates stand for bytes that are not UTF-8, and cannot be printed.
    try:
        repr(value).encode()
    except UnicodeError:
        return False
    return True

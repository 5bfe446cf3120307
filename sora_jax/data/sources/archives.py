"""The members of untrusted tar archives, for random access; nothing is unpacked."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from etils import epath

from sora_jax import limits
from sora_jax.data.sources.listing import MEDIA, LeftOut, suffix_of
from sora_jax.files import BinaryFile, existing

_HEADER = 2**20  # bytes that a header, such as a long name, may take
_TEXTS = ("txt", "json")


class Member(NamedTuple):
    """Where the content of a member lies in its archive."""

    offset: int
    size: int


class Archive(NamedTuple):
    """The members of an archive that are media or captions, by name, in order."""

    members: dict[str, Member]
    left_out: tuple[LeftOut, ...]


def read_archive(path: epath.Path, name: str) -> Archive:
    """Find the media and captions of a WebDataset archive.

    Args:
      path: of an uncompressed tar file.
      name: of the archive, before the names of its members.

    Raises:
      ValueError: it is no regular file.
      OSError: it cannot be opened.
    """
    found, left_out = {}, []
    with existing(path, "archive").open("rb") as file:
        end = file.seek(0, 2)
        file.seek(0)
        members = _members(_ShortReads(file), name, left_out)
        for count, member in enumerate(members):
            if count == limits.ARCHIVE_MEMBERS:
                more = f"what follows its first {count} members: make smaller archives"
                left_out.append(LeftOut(name, more))
                break
            reason = _refusal(member, end)
            suffix = suffix_of(member.name)
            if reason:
                left_out.append(LeftOut(f"{name}/{member.name}", reason))
            elif suffix in MEDIA or suffix in _TEXTS:
                found[member.name] = Member(member.offset_data, member.size)
    return Archive(dict(sorted(found.items())), tuple(left_out))


def _members(
    file: _ShortReads, name: str, left_out: list[LeftOut]
) -> Iterator[tarfile.TarInfo]:
    """Yield members that are files, as far as the archive can be read."""
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:  # pyright: ignore
            for member in tar:
                if not member.isdir() and not _is_hidden(member.name):
                    yield member
                tar.members.clear()  # else it keeps all of them
    except Exception as error:  # tarfile raises anything on damaged headers
        reason = f"its tar cannot be read to its end ({error}): write it again"
        left_out.append(LeftOut(name, reason))


def _refusal(member: tarfile.TarInfo, end: int) -> str:
    path = PurePosixPath(member.name)
    if not member.isreg() or member.issparse():
        return "no regular file: archives may hold no links and devices"
    if path.is_absolute() or ".." in path.parts:
        return "its name leads outside the archive"
    if member.size > limits.CLIP_BYTES:
        return f"it has {member.size} bytes, more than {limits.CLIP_BYTES}"
    return "" if member.offset_data + member.size <= end else "it is cut off"


def _is_hidden(name: str) -> bool:
    return PurePosixPath(name).name.startswith(".")


class _ShortReads:
    """A file whose reads are as short as headers; contents are passed over."""

    def __init__(self, file: BinaryFile):
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _HEADER:
            raise OSError(f"a header of {size} bytes")
        return self._file.read(size)

"""The files of a folder that hold clips or their captions, by suffix."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import PurePath
from typing import NamedTuple

from etils import epath

from sora_jax.files import PathLike, is_remote, located, quoted

PICTURES = ("avif", "bmp", "gif", "jp2", "jpeg", "jpg", "png", "tif", "tiff", "webp")
VIDEOS = (
    *("3g2", "3gp", "apng", "asf", "avi", "dv", "flv", "gxf", "h264", "hevc", "ivf"),
    *("m2ts", "m2v", "m4v", "mj2", "mjpeg", "mkv", "mov", "mp4", "mpeg", "mpg", "mts"),
    *("mxf", "nut", "obu", "ogg", "ogv", "rm", "ts", "vob", "webm", "wmv", "wtv"),
    "y4m",
)
MEDIA = frozenset(PICTURES + VIDEOS)
TABLES = ("metadata.csv", "metadata.jsonl")
_HIDDEN = (".", "__MACOSX")
COMPRESSED = (".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".zip")


class LeftOut(NamedTuple):
    """A clip, or a file, that is not taken, and why."""

    name: str
    reason: str


class Listing(NamedTuple):
    """The files of a folder.

    Attributes:
      files: paths by their names within the folder, with slashes, in order.
      left_out: links that lead outside the folder, and compressed archives.
    """

    files: dict[str, epath.Path]
    left_out: tuple[LeftOut, ...]


def list_folder(folder: PathLike, field: str) -> Listing:
    """List the media, captions, tables and archives of a folder and folders in it.

    Hidden files and folders are left out; links to folders are not followed.

    Args:
      folder: on this disk, or in a bucket.
      field: the flag or config field that error messages name.

    Raises:
      ValueError: it is no folder.
    """
    root = located(folder, field)
    if not root.is_dir():
        raise ValueError(f"{field} {quoted(folder)} is no folder: check the spelling")
    found, left_out = {}, []
    for name, path in _walk(root):
        reason = _refusal(name, path, root)
        if reason:
            left_out.append(LeftOut(name, reason))
        elif suffix_of(name) in {*MEDIA, "txt", "tar"} or _last(name) in TABLES:
            found[name] = path
    return Listing(dict(sorted(found.items())), tuple(sorted(left_out)))


def _walk(root: epath.Path) -> Iterator[tuple[str, epath.Path]]:
    """Yield names within the folder, and paths; hidden ones are passed over."""
    for parent, _, names in root.walk():
        inside = _inside(parent, root)
        if any(part.startswith(_HIDDEN) for part in inside):
            continue
        for name in names:
            if not name.startswith("."):
                yield "/".join([*inside, name]), root.joinpath(*inside, name)


def _inside(parent: epath.Path, root: epath.Path) -> tuple[str, ...]:
    """Return the names of the folders from the root to a folder in it."""
    # Walks through a bucket leave gs:// out.
    inner, outer = (
        PurePath(os.fspath(path).rpartition("://")[2].lstrip("/"))
        for path in (parent, root)
    )
    return inner.relative_to(outer).parts


def _refusal(name: str, path: epath.Path, root: epath.Path) -> str:
    if name.lower().endswith(COMPRESSED):
        return "a compressed archive, which has no random access: unpack it"
    if is_remote(root) or not os.path.islink(path):
        return ""
    target, inside = os.path.realpath(path), os.path.realpath(root)
    is_inside = os.path.commonpath([target, inside]) == inside
    return "" if is_inside else "a link that leads outside the folder: copy the file"


def suffix_of(name: str) -> str:
    """Return the suffix in lower case, without its dot."""
    return os.path.splitext(name)[1][1:].lower()


def stem_of(name: str) -> str:
    """Return a name without its suffix."""
    return os.path.splitext(name)[0]


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def told(names: list[str] | tuple[str, ...], most: int = 3) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(quoted(name) for name in names[:most]) + more

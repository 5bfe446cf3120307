"""The pictures and videos of a folder, by their suffixes."""

from __future__ import annotations

import os
from pathlib import PurePath

from etils import epath

from sora_jax.files import PathLike, located, quoted

PICTURES = ("avif", "bmp", "gif", "jp2", "jpeg", "jpg", "png", "tif", "tiff", "webp")
VIDEOS = (
    *("3g2", "3gp", "asf", "avi", "dv", "flv", "gxf", "h264", "hevc", "ivf", "m2ts"),
    *("m2v", "m4v", "mj2", "mjpeg", "mkv", "mov", "mp4", "mpeg", "mpg", "mts", "mxf"),
    *("nut", "obu", "ogg", "ogv", "rm", "ts", "vob", "webm", "wmv", "wtv", "y4m"),
)
SUFFIXES = frozenset(PICTURES + VIDEOS)


def media_files(folder: PathLike, field: str = "--from") -> dict[str, epath.Path]:
    """Find the pictures and videos of a folder and the folders in it.

    Hidden files and folders are left out, and links to folders are not followed.

    Args:
      folder: on this disk, or in a bucket.
      field: the flag that error messages name.

    Returns:
      Paths by their names within the folder, with slashes, in order.

    Raises:
      ValueError: it is no folder, or holds no picture and no video.
    """
    root = located(folder, field)
    if not root.is_dir():
        raise ValueError(f"{field} {quoted(folder)} is no folder; check the spelling")
    found, others = {}, 0
    for parent, _, names in root.walk():
        inside = _inside(parent, root)
        if any(part.startswith(".") for part in inside):
            continue
        for name in names:
            if name.startswith("."):
                continue
            if _suffix(name) in SUFFIXES:
                found["/".join([*inside, name])] = root.joinpath(*inside, name)
            else:
                others += 1
    if not found:
        raise ValueError(
            f"{field} {quoted(folder)} holds no picture and no video ({others} other "
            f"files); the suffixes of videos are {' '.join(VIDEOS)}"
        )
    return dict(sorted(found.items()))


def _inside(parent: epath.Path, root: epath.Path) -> tuple[str, ...]:
    """Return the names of the folders from the root to a folder in it."""
    # Walks through a bucket leave gs:// out.
    inner, outer = (
        PurePath(os.fspath(path).rpartition("://")[2].lstrip("/"))
        for path in (parent, root)
    )
    return inner.relative_to(outer).parts


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1][1:].lower()

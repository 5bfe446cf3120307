"""The pictures and videos of a folder, by their suffixes."""

from __future__ import annotations

from etils import epath

from sora_jax.data.sources.listing import MEDIA, VIDEOS, list_folder, suffix_of
from sora_jax.files import PathLike, quoted


def media_files(folder: PathLike, field: str = "--from") -> dict[str, epath.Path]:
    """Find the pictures and videos of a folder and the folders in it.

    Hidden files and folders are left out, and links out of it are not followed.

    Args:
      folder: on this disk, or in a bucket.
      field: the flag that error messages name.

    Returns:
      Paths by their names within the folder, with slashes, in order.

    Raises:
      ValueError: it is no folder, or holds no picture and no video.
    """
    files = list_folder(folder, field).files
    found = {name: path for name, path in files.items() if suffix_of(name) in MEDIA}
    if not found:
        raise ValueError(
            f"{field} {quoted(folder)} holds no picture and no video; the suffixes of "
            f"videos are {' '.join(VIDEOS)}"
        )
    return found

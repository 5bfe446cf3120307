"""Write videos and pictures atomically, from chunks of frames.

Frames are uint8, or floats in [-1, 1], and arrive in chunks, so memory never holds a
long video. A file is written under a temporary name in its folder and renamed when
complete; no file is ever overwritten.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from etils import epath

from sora_jax.config.plain import require_fps
from sora_jax.data import encoders
from sora_jax.files import PathLike, is_remote, located, quoted

_PROBE = bytes(1 << 18)  # enough to notice a full disk


def check_output(path: PathLike, *, field: str = "--out") -> epath.Path:
    """Check before heavy work that `write` can write a path; creates its folder.

    Args:
      path: where the video is to go.
      field: the flag or config field that error messages name.

    Raises:
      ValueError: the suffix is unknown, or the folder cannot be written.
    """
    target = located(path, field)
    encoder_of(target, field)
    if target.is_dir():
        raise ValueError(
            f"{field} {quoted(path)} is a folder; give a file name inside it"
        )
    return check_folder(target, field)


def encoder_of(target: epath.Path, field: str = "--out") -> encoders.Encoder:
    """Return the encoder of a file by its suffix.

    Raises:
      ValueError: the suffix is unknown.
    """
    if target.suffix.lower() not in encoders.ENCODERS:
        raise ValueError(
            f"{field} {quoted(target)} must end in one of "
            f"{' '.join(encoders.ENCODERS)}, or in / to be a folder, got "
            f"{target.suffix or 'no suffix'!r}"
        )
    return encoders.ENCODERS[target.suffix.lower()]


def check_folder(path: PathLike, field: str = "--out") -> epath.Path:
    """Create a file's folder if missing, and check that it is writable.

    Args:
      path: of the file.
      field: the flag or config field that error messages name.

    Raises:
      ValueError: it cannot.
    """
    target = located(path, field)
    named = f"{field} {quoted(path)}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        probe = _temporary(target)
        try:
            probe.write_bytes(_PROBE)
        finally:
            probe.unlink(missing_ok=True)
    except (OSError, ValueError) as error:  # such as a name that is too long
        if isinstance(error, ValueError):
            raise ValueError(
                f"{named} is not a valid path ({error}); give another"
            ) from error
        is_full = error.errno == errno.ENOSPC
        remedy = "free some space" if is_full else "give a folder that you may write to"
        raise ValueError(
            f"{named} cannot be written ({error.strerror or error}); {remedy}"
        ) from error
    return target


def free_path(path: PathLike) -> epath.Path:
    """Returns the path, or the first of `name-1`, `name-2`, ... that is free.

    A path is free when neither it nor its sidecar exists.
    """
    target = epath.Path(path)
    for number in itertools.count():
        stem = f"{target.stem}-{number}" if number else target.stem
        candidate = target.with_name(stem + target.suffix)
        if not _is_taken(candidate) and not _is_taken(sidecar_path(candidate)):
            return candidate
    raise AssertionError("unreachable")


def write(
    path: PathLike,
    chunks: Iterable[np.ndarray],
    fps: int | float,
    *,
    field: str = "path",
) -> epath.Path:
    """Write frames in the format of the path's suffix; return the final path.

    * `.mp4`: H.264, plays in browsers; odd sizes repeat their last row or column.
    * `.gif`: a palette of its own for each frame; endless.
    * `.png`: one frame is an image; several are tiled row by row on one sheet.
    * `.npy`: float32 `[t h w c]` in [0, 1].

    Args:
      path: of the video; its folder is created if missing, and a number is appended
        if the name is taken.
      chunks: arrays `[t h w c]`, uint8 or float in [-1, 1], in order.
      fps: frames per second; may be fractional.
      field: the flag or config field that error messages name.

    Raises:
      ValueError: the suffix is unknown, or there are no frames, or frames of several
        sizes, or NaN.
      OSError: the file cannot be written; no partial file is left.
    """
    target = located(path, field)
    encode = encoder_of(target, field)
    require_fps(fps)
    with _whole(target, field) as temporary:
        encode(temporary, encoders.check_chunks(chunks), fps)
        return _publish(temporary, target)


def write_sidecar(
    path: PathLike, content: dict[str, Any], *, field: str = "--out"
) -> epath.Path:
    """Write the metadata of an output as JSON beside it.

    The sidecar of `clip.mp4` is `clip.mp4.json`, so that `clip.gif` has its own.
    """
    target = sidecar_path(path)
    with _whole(target, field) as temporary:
        text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
        # Paths may contain bytes that are not UTF-8; JSON escapes them.
        temporary.write_bytes((text + "\n").encode("utf-8", "backslashreplace"))
        # The video owns this name: `free_path` saw to that.
        if is_remote(target):
            temporary.copy(target, overwrite=True)
        else:
            os.replace(temporary, target)
    return target


def _is_taken(path: epath.Path) -> bool:
    # A dangling link does not exist, but its name is taken.
    return path.exists() or (not is_remote(path) and os.path.lexists(path))


def sidecar_path(path: PathLike) -> epath.Path:
    """Return the path of an output's sidecar."""
    target = epath.Path(path)
    return target.with_name(target.name + ".json")


@contextlib.contextmanager
def _whole(target: epath.Path, field: str) -> Iterator[epath.Path]:
    """Yield a local temporary path, deleted afterwards; explain a full disk."""
    with contextlib.ExitStack() as stack:
        if is_remote(target):
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            temporary = epath.Path(folder) / target.name
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = _temporary(target)
            stack.callback(temporary.unlink, missing_ok=True)
        try:
            yield temporary
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise OSError(
                error.errno,
                f"{field} {quoted(target)}: the disk is full; free some space or "
                "give a path on another disk (nothing was left behind)",
            ) from error


def _publish(temporary: epath.Path, target: epath.Path) -> epath.Path:
    """Move a finished file to a free name, atomically."""
    while True:
        free = free_path(target)
        try:
            if is_remote(free):
                # Uploads to object stores are atomic.
                temporary.copy(free)
            else:
                _move_new(temporary, free)
            return free
        except FileExistsError:
            continue


def _move_new(temporary: epath.Path, free: epath.Path) -> None:
    """Rename a file; fail if the new name exists."""
    try:
        os.link(temporary, free)
    except FileExistsError:
        raise
    except OSError:
        # No hard links here (FAT, some network disks): claim the name, then fill it.
        os.close(os.open(free, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.replace(temporary, free)


def _temporary(target: epath.Path) -> epath.Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")

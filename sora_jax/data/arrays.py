"""Videos from `.npy` files, as `outputs` writes them: frames without times."""

from __future__ import annotations

import functools
import os
import pathlib
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from etils import epath

from sora_jax import files
from sora_jax.data import video
from sora_jax.files import PathLike


def frames_of(
    path: PathLike, fps: float, *, field: str = "--video"
) -> Iterator[video.Shown]:
    """Yields the frames of an array file, as `outputs` writes them, at a rate.

    Raises:
      ValueError: the file is missing, or no array of pixels; of pixels that are out of
        range where they are met.
    """
    source, named = files.existing(path, field), f"{field} {os.fspath(path)!r}"
    try:
        frames = _load(source)
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{named} is no whole .npy file: {error}") from error
    wanted = f"{named} must hold floats [t h w 3] in [0, 1], as --out writes them"
    if not isinstance(frames, np.ndarray):
        raise ValueError(f"{wanted}, got several arrays")
    is_video = frames.ndim == 4 and frames.shape[-1] == 3 and frames.size
    if not is_video or frames.dtype.kind != "f":
        raise ValueError(f"{wanted}, got {frames.dtype} {list(frames.shape)}")
    for number, frame in enumerate(frames):
        low, high = frame.min(), frame.max()
        if not 0 <= low <= high <= 1:
            raise ValueError(f"{wanted}, got {low:g} to {high:g} in frame {number}")
        yield video.Shown(
            pixels=functools.partial(video.to_uint8, frame * 2 - 1),
            size=frames.shape[1:3],
            begin=number / fps,
            length=1 / fps,
            tick=0.0,
            rate=fps,
        )


def _load(source: epath.Path) -> Any:
    """An array as it is on the disk, frames of which are read when they are used."""
    if isinstance(source, pathlib.Path):
        return np.load(source, mmap_mode="r", allow_pickle=False)
    with source.open("rb") as file:  # of a bucket: whole
        return np.load(file, allow_pickle=False)

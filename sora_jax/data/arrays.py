"""Videos from `.npy` files, as `outputs` writes them: frames without times."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator

import numpy as np

from sora_jax.data import video
from sora_jax.workdir import PathLike


def frames_of(
    path: PathLike, fps: float, *, field: str = "--video"
) -> Iterator[video.Shown]:
    """Yields the frames of an array file, as `outputs` writes them, at a rate.

    Raises:
      ValueError: the file is missing, or no array of pixels.
    """
    source, named = video.existing(path, field), f"{field} {os.fspath(path)!r}"
    try:
        with source.open("rb") as file:
            frames = np.load(file, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{named} is no whole .npy file: {error}") from error
    is_video = frames.ndim == 4 and frames.shape[-1] == 3 and frames.size
    if not (
        is_video and frames.dtype.kind == "f" and 0 <= frames.min() <= frames.max() <= 1
    ):
        raise ValueError(
            f"{named} must hold floats [t h w 3] in [0, 1], as --out writes them, got "
            f"{frames.dtype} {list(frames.shape)}"
        )
    for number, frame in enumerate(frames):
        yield video.Shown(
            pixels=functools.partial(video.to_uint8, frame * 2 - 1),
            size=frames.shape[1:3],
            begin=number / fps,
            length=1 / fps,
            tick=0.0,
            rate=fps,
        )

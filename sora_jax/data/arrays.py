"""Arrays from `.npy` files: memory-mapped, and checked before they are read."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Iterator

import numpy as np

from sora_jax.data.decoding import TimedFrame
from sora_jax.data.video import to_uint8
from sora_jax.files import PathLike, existing, is_remote, quoted
from sora_jax.limits import LIMITS, Limits


def open_array(path: PathLike, *, field: str, limits: Limits = LIMITS) -> np.ndarray:
    """Open an array file; on a disk, it is memory-mapped.

    Raises:
      ValueError: the file is missing, holds no array of numbers, is cut short, or is
        larger than the limits allow.
    """
    source, named = existing(path, field), f"{field} {quoted(path)}"
    size = source.stat().length
    if size > limits.array_bytes:
        raise ValueError(
            f"{named} is of {size} bytes, more than {limits.array_bytes}: give a "
            "smaller array, or --unlimited"
        )
    try:
        if not is_remote(source):
            return np.lib.format.open_memmap(pathlib.Path(source), mode="r")
        with source.open("rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except Exception as error:  # NumPy evaluates headers as Python, and raises anything
        raise ValueError(f"{named} is no whole .npy file of one array: {error}") from (
            error
        )


def array_frames(
    path: PathLike, fps: float, *, field: str = "--video", limits: Limits = LIMITS
) -> Iterator[TimedFrame]:
    """Yield the frames of an array file, as `outputs` writes it.

    Raises:
      ValueError: the file is missing or not an array of pixels, or a frame has values
        out of range.
    """
    frames = open_array(path, field=field, limits=limits)
    wanted = f"{field} {quoted(path)} must hold floats [t h w 3] in [0, 1], as --out "
    wanted += "writes them"
    is_video = frames.ndim == 4 and frames.shape[-1] == 3 and frames.size
    if not is_video or frames.dtype.kind != "f":
        raise ValueError(f"{wanted}, got {frames.dtype} {list(frames.shape)}")
    if len(frames) > limits.frames:
        raise ValueError(
            f"{field} {quoted(path)} has {len(frames):,} frames, and at most "
            f"{limits.frames:,} are taken: save fewer, or lift the limits (--unlimited)"
        )
    if frames.shape[1] * frames.shape[2] > limits.pixels:
        raise ValueError(
            f"{wanted}, of at most {limits.pixels} pixels, got {list(frames.shape)}"
        )
    for number, frame in enumerate(frames):
        low, high = frame.min(), frame.max()
        if not 0 <= low <= high <= 1:
            raise ValueError(f"{wanted}, got {low:g} to {high:g} in frame {number}")
        yield TimedFrame(
            pixels=functools.partial(to_uint8, frame * 2 - 1),
            size=frames.shape[1:3],
            begin=number / fps,
            length=1 / fps,
            tick=0.0,
            rate=fps,
        )

"""One encoder per file type: chunks of uint8 or float frames to one file.

`outputs` handles names, folders and atomicity.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from etils import epath
from jaxtyping import UInt8

from sora_jax.data import animations, pictures
from sora_jax.data.mp4 import Mp4Writer
from sora_jax.data.video import to_uint8
from sora_jax.files import BinaryFile, quoted

_SHEET_GREY = 128


def check_chunks(chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield chunks after checking them.

    Raises:
      ValueError: there are no frames, or their sizes differ, or one holds NaN.
    """
    frame_shape, is_empty = None, True
    if not isinstance(chunks, Iterable):
        raise ValueError(f"frames must be several [t h w 3], got {quoted(chunks)}")
    for chunk in chunks:
        chunk = np.asarray(chunk)
        if chunk.ndim != 4 or chunk.shape[3] != 3:
            hint = ": give a list of clips, [clip]" if chunk.ndim == 3 else ""
            raise ValueError(f"frames must be [t h w 3], got {list(chunk.shape)}{hint}")
        frame_shape = frame_shape or chunk.shape[1:]
        if chunk.shape[1:] != frame_shape:
            raise ValueError(
                f"frames must all be of one size, got {list(chunk.shape[1:])} "
                f"after {list(frame_shape)}"
            )
        if chunk.dtype != np.uint8 and not np.isfinite(chunk).all():
            raise ValueError(
                "frames hold NaN or infinity; the model or its weights are broken"
            )
        if len(chunk):
            is_empty = False
            yield chunk
    if is_empty:
        raise ValueError("there are no frames to write")


def write_mp4(path: epath.Path, chunks: Iterable[np.ndarray], fps: int | float) -> None:
    """Encode H.264 4:2:0, tagged BT.709, with the index first for streaming."""
    _encode_mp4(_address(path), chunks, fps)


def mp4_bytes(
    chunks: Iterable[np.ndarray], fps: int | float, layout: str = "yuv420p"
) -> bytes:
    """Return the content of an mp4 file, as `write_mp4` writes it.

    Args:
      chunks: frames.
      fps: frames per second.
      layout: of pixels; "yuv444p" keeps the edges of saturated colours, but browsers
        do not play it.
    """
    file = io.BytesIO()
    _encode_mp4(file, chunks, fps, layout)
    return file.getvalue()


def _encode_mp4(
    target: str | BinaryFile,
    chunks: Iterable[np.ndarray],
    fps: int | float,
    layout: str = "yuv420p",
) -> None:
    with Mp4Writer(target, fps, layout) as video:
        for pixels in _frames(chunks):
            video.add(pixels)


def write_gif(path: epath.Path, chunks: Iterable[np.ndarray], fps: int | float) -> None:
    """Encodes an endless GIF, see `animations.write_animation`."""
    with path.open("wb") as file:
        animations.write_animation(file, _frames(chunks), fps)


def write_png(path: epath.Path, chunks: Iterable[np.ndarray], fps: int | float) -> None:
    """Write one frame as an image, several as a near-square contact sheet."""
    del fps
    frames = list(_frames(chunks))
    columns = math.ceil(math.sqrt(len(frames)))
    rows = math.ceil(len(frames) / columns)
    height, width = frames[0].shape[:2]
    sheet = np.full((rows * height, columns * width, 3), _SHEET_GREY, np.uint8)
    for index, pixels in enumerate(frames):
        top, left = index // columns * height, index % columns * width
        sheet[top : top + height, left : left + width] = pixels
    with path.open("wb") as file:
        pictures.write_png(file, sheet)


def write_npy(path: epath.Path, chunks: Iterable[np.ndarray], fps: int | float) -> None:
    """Write float32 values in [0, 1]; the header's length is filled in last."""
    del fps
    length, shape = 0, ()
    with path.open("wb") as file:
        for chunk in chunks:
            if not length:
                shape = chunk.shape[1:]
                _npy_header(file, (0, *shape))
            length += len(chunk)
            values = chunk.astype(np.float32)
            scaled = values / 255 if chunk.dtype == np.uint8 else (values + 1) / 2
            file.write(np.clip(scaled, 0, 1).astype("<f4").tobytes())
        file.seek(0)
        # numpy leaves room for the first axis to grow, so the header keeps its size.
        _npy_header(file, (length, *shape))


Encoder = Callable[[epath.Path, Iterable[np.ndarray], int | float], None]
ENCODERS: dict[str, Encoder] = {
    ".mp4": write_mp4,
    ".gif": write_gif,
    ".png": write_png,
    ".npy": write_npy,
}


def _address(path: epath.Path) -> str:
    """Return a path for FFmpeg, which would read "a:b.mp4" as a protocol."""
    return f"file:{os.fspath(path)}"


def _frames(chunks: Iterable[np.ndarray]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    for chunk in chunks:
        yield from chunk if chunk.dtype == np.uint8 else to_uint8(chunk)


def _npy_header(file, shape: tuple[int, ...]) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)

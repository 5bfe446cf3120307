"""Videos and images from files: any container in, clips in [-1, 1] out.

In flow paths and frames of any size; out flow `Clip`s and float frames, channels
last. Writing is the business of `outputs`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Literal

import av
import numpy as np
from av.error import FFmpegError
from av.filter import Graph
from etils import epath
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps

from sora_jax.types import Clip
from sora_jax.workdir import PathLike

# Without these flags swscale rounds coarsely and drops chroma: 34 dB where 44 dB
# is possible on a round trip.
EXACT_SCALING = "accurate_rnd+full_chroma_int+full_chroma_inp+bicubic"


def to_float(frames: UInt8[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Maps bytes to [-1, 1]."""
    return frames.astype(np.float32) / np.float32(127.5) - np.float32(1)


def to_uint8(frames: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Maps [-1, 1] to bytes, clipping what lies outside."""
    scaled = (frames.astype(np.float32) + np.float32(1)) * np.float32(127.5)
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def read_video(
    path: PathLike, *, max_frames: int | None = None, field: str = "--video"
) -> Clip:
    """Reads a video upright and in its display aspect ratio.

    With a variable frame rate the frames are kept as they are and `fps` is the mean.

    Args:
      path: a file in any container FFmpeg reads; may be `gs://`.
      max_frames: stop after this many frames; None reads all.
      field: the flag or config field that error messages name.

    Raises:
      ValueError: the file is missing, holds no video, or is damaged.
    """
    source = _existing(path, field)
    frames: list[np.ndarray] = []
    times: list[float | None] = []
    try:
        # A file object, since FFmpeg takes "a:b.mp4" for a protocol.
        with source.open("rb") as file, av.open(file) as container:
            if not container.streams.video:
                raise ValueError("it has no video stream")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            rate = stream.average_rate or stream.guessed_rate or stream.base_rate
            aspect = stream.sample_aspect_ratio or Fraction(1)
            for frame, time in _upright(container, stream):
                frames.append(frame)
                times.append(time)
                if len(frames) == max_frames:
                    break
    except (FFmpegError, ValueError, OSError) as error:
        where = f"after {len(frames)} good frames" if frames else "at its start"
        raise ValueError(
            f"{field} {os.fspath(path)!r} cannot be read as a video "
            f"(it stops {where}: {error}); re-encode it, for instance with "
            "'ffmpeg -i IN -c:v libx264 OUT.mp4', or give another file"
        ) from error
    if not frames:
        raise ValueError(
            f"{field} {os.fspath(path)!r} holds no frames; give another file"
        )
    pixels = to_float(np.stack(frames))
    if aspect != 1:
        width = max(1, round(pixels.shape[2] * aspect))
        pixels = fit(pixels, pixels.shape[1], width, "stretch")
    return Clip(pixels=pixels, fps=_frame_rate(float(rate or 0), times))


def _frame_rate(declared: float, times: list[float | None]) -> float:
    """Believes what a file declares unless its timestamps say otherwise."""
    first, last = times[0], times[-1]
    if first is None or last is None or last <= first:
        return declared or 1.0
    measured = (len(times) - 1) / (last - first)
    return declared if abs(declared / measured - 1) < 0.02 else measured


def _upright(
    container: Any, stream: Any
) -> Iterator[tuple[UInt8[np.ndarray, "h w 3"], float | None]]:
    """Decodes frames and their times, turned as the file's rotation flag says."""
    graph = None
    for frame in container.decode(stream):
        if graph is None:
            graph = Graph()
            graph.link_nodes(
                graph.add_buffer(template=stream),
                graph.add("scale", f"flags={EXACT_SCALING}"),
                graph.add("format", "rgb24"),
                graph.add("buffersink"),
            ).configure()
        graph.vpush(frame)
        # The flag counts counter-clockwise degrees, as rot90 does.
        yield np.rot90(graph.vpull().to_ndarray(), frame.rotation // 90), frame.time


def read_image(
    path: PathLike, *, field: str = "--image"
) -> Float[np.ndarray, "1 h w c"]:
    """Reads an image as a one-frame video in [-1, 1].

    It is turned as its EXIF says. Transparency shows the grey (0) that stands for
    unknown pixels everywhere in this package.

    Args:
      path: a file in any format Pillow reads; may be `gs://`.
      field: the flag or config field that error messages name.

    Raises:
      ValueError: the file is missing, not an image, or damaged.
    """
    source = _existing(path, field)
    try:
        with source.open("rb") as file, Image.open(file) as image:
            image.load()
            upright = ImageOps.exif_transpose(image)
            pixels = _rgb(upright)
    except (
        OSError,
        ValueError,
        SyntaxError,  # Pillow's word for a broken PNG
        Image.DecompressionBombError,
    ) as error:
        raise ValueError(
            f"{field} {os.fspath(path)!r} cannot be read as an image ({error}); "
            "save it again as PNG or JPEG, or give another file"
        ) from error
    return pixels[None]


def _rgb(image: Image.Image) -> Float[np.ndarray, "h w c"]:
    """Turns an image of any mode into three channels over grey."""
    if image.mode.startswith("I;16"):
        # Pillow would clip sixteen bits to eight instead of scaling them.
        grey = np.asarray(image).astype(np.float32) / np.float32(32767.5) - 1
        return np.repeat(grey[..., None], 3, axis=2)
    if image.has_transparency_data:
        rgba = np.asarray(image.convert("RGBA"))
        alpha = rgba[..., 3:].astype(np.float32) / np.float32(255)
        return to_float(rgba[..., :3]) * alpha
    return to_float(np.asarray(image.convert("RGB")))


def fit(
    frames: Float[np.ndarray, "t h w c"],
    height: int,
    width: int,
    how: Literal["crop", "pad", "stretch"] = "crop",
) -> Float[np.ndarray, "t height width c"]:
    """Resamples frames, antialiased, to a size.

    Args:
      frames: values in [-1, 1].
      height: rows wanted.
      width: columns wanted.
      how: "crop" fills the size and cuts what stands out, evenly on both sides;
        "pad" shows everything between grey (0) bars; "stretch" ignores the aspect.
    """
    if height < 1 or width < 1:
        raise ValueError(f"size must be at least 1x1, got {width}x{height}")
    if how not in ("crop", "pad", "stretch"):
        raise ValueError(f"how must be crop, pad or stretch, got {how!r}")
    rows, columns = frames.shape[1:3]
    if (rows, columns) == (height, width):
        return frames
    box = (0.0, 0.0, float(columns), float(rows))
    inner = (width, height)
    if how == "crop":
        scale = max(height / rows, width / columns)
        left = (columns - width / scale) / 2
        top = (rows - height / scale) / 2
        box = (max(left, 0.0), max(top, 0.0))
        box = (*box, min(columns - left, columns), min(rows - top, rows))
    elif how == "pad":
        scale = min(height / rows, width / columns)
        inner = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    out = np.zeros((frames.shape[0], height, width, frames.shape[3]), np.float32)
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    window = out[:, top : top + inner[1], left : left + inner[0]]
    for index in np.ndindex(frames.shape[0], frames.shape[3]):
        plane = Image.fromarray(frames[index[0], ..., index[1]].astype(np.float32))
        resized = plane.resize(inner, Image.Resampling.BICUBIC, box=box)
        window[index[0], ..., index[1]] = np.asarray(resized)
    # Bicubic overshoots at edges.
    return np.clip(out, -1, 1)


def _existing(path: PathLike, field: str) -> epath.Path:
    source = epath.Path(path)
    if not source.exists():
        raise ValueError(
            f"{field} {os.fspath(path)!r} does not exist; check the spelling, "
            "relative paths start at the current folder"
        )
    if source.is_dir():
        raise ValueError(f"{field} {os.fspath(path)!r} is a folder; give a file")
    return source

"""Videos and images from files: any container in, clips in [-1, 1] out.

In flow paths and frames of any size; out flow `Clip`s and float frames, channels
last. Writing is the business of `outputs`.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any, Literal

import av
import numpy as np
from av.error import FFmpegError
from av.filter import Graph
from av.stream import Disposition
from jaxtyping import Float, UInt8
from PIL import Image

from sora_jax.files import PathLike, existing
from sora_jax.types import Clip

# Without these flags swscale rounds coarsely and drops chroma: 34 dB where 44 dB
# is possible on a round trip.
EXACT_SCALING = "accurate_rnd+full_chroma_int+full_chroma_inp+bicubic"
# Seconds after which the next frame's time is taken for a mistake of the file's, unless
# the file says that it lasts so long.
LONGEST = 60.0

Fit = Literal["crop", "pad", "stretch"]


def to_float(frames: UInt8[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Maps bytes to [-1, 1]."""
    return frames.astype(np.float32) / np.float32(127.5) - np.float32(1)


def to_uint8(frames: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Maps [-1, 1] to bytes, clipping what lies outside."""
    scaled = (frames.astype(np.float32) + np.float32(1)) * np.float32(127.5)
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shown:
    """A frame of a file, and when it is on the screen.

    Attributes:
      pixels: makes its picture, upright, `uint8[h w 3]`; alpha shows grey.
      size: (height, width) on a screen; other than the picture's where the file's
        pixels are not square.
      begin: seconds since the first frame; grows from frame to frame.
      length: seconds that the file gives it.
      tick: seconds to which the file rounds its times.
      rate: frames per second that the file declares; 0 where it does not.
    """

    pixels: Callable[[], UInt8[np.ndarray, "h w 3"]]
    size: tuple[int, int]
    begin: float
    length: float
    tick: float
    rate: float


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
    frames, shown = [], []
    for one in itertools.islice(decode(path, field=field), max_frames):
        frames.append(one.pixels())
        shown.append(one)
    pixels = fit(to_float(np.stack(frames)), *shown[0].size, how="stretch")
    return Clip(pixels=pixels, fps=_frame_rate(shown))


def _frame_rate(shown: Sequence[Shown]) -> float:
    """Believes what a file declares unless its timestamps say otherwise."""
    declared = shown[0].rate
    if len(shown) == 1:
        return declared or 1.0
    measured = (len(shown) - 1) / shown[-1].begin
    return declared if abs(declared / measured - 1) < 0.02 else measured


def decode(path: PathLike, *, field: str = "--video") -> Iterator[Shown]:
    """Yields a video's frames in the order of time, one in memory after the other.

    Args:
      path: a file in any container FFmpeg reads; may be `gs://`.
      field: the flag or config field that error messages name.

    Raises:
      ValueError: the file is missing, holds no video, or is damaged; it says how many
        frames were good.
    """
    source, good = existing(path, field), 0
    try:
        # A file object, since FFmpeg takes "a:b.mp4" for a protocol.
        with source.open("rb") as file, av.open(file) as container:
            stream = container.streams.best("video")
            # The cover of a song is a stream, too.
            if stream is None or stream.disposition & Disposition.attached_pic:
                raise ValueError("it has no video stream")
            for shown in _timed(container, stream):
                good += 1
                yield shown
    except (FFmpegError, ValueError, OSError) as error:
        where = f"after {good} good frames" if good else "at its start"
        raise ValueError(
            f"{field} {os.fspath(path)!r} cannot be read as a video "
            f"(it stops {where}: {error}); re-encode it, for instance with "
            "'ffmpeg -i IN -c:v libx264 OUT.mp4', or give another file"
        ) from error
    if not good:
        raise ValueError(
            f"{field} {os.fspath(path)!r} holds no frames; give another file"
        )


def _timed(container: Any, stream: Any) -> Iterator[Shown]:
    """Decodes frames; where timestamps are of no use, each follows the one before."""
    stream.thread_type = "AUTO"
    rate = float(stream.average_rate or stream.guessed_rate or stream.base_rate or 0)
    tick, declared = float(stream.time_base), _declared_seconds(container, stream)
    start, begin, length = None, 0.0, 0.0
    picture, size = None, (0, 0)
    for frame in container.decode(stream):
        if picture is None:
            picture, size = _picture_of(stream, frame), _screen_size(stream, frame)
        following = begin + length
        if start is None and frame.time is not None:
            start = frame.time - following
        time = following if frame.time is None else frame.time - start
        is_sane = begin < time <= max(declared, begin + LONGEST)
        begin = time if is_sane else following
        length = frame.duration * tick if frame.duration else 1 / (rate or 1)
        yield Shown(
            pixels=functools.partial(picture, frame),
            size=size,
            begin=begin,
            length=length,
            tick=tick,
            rate=rate,
        )
    # FFmpeg is silent about a file that was cut off.
    if declared - begin - length > max(declared / 10, 2 * length):
        raise ValueError(f"{begin + length:.3g} of its {declared:.3g} seconds are here")


def _declared_seconds(container: Any, stream: Any) -> float:
    """How long a file says that its video lasts; 0 where it does not."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    # A container lasts as long as its sound.
    is_alone = len(container.streams) == 1 and container.duration
    return container.duration / av.time_base if is_alone else 0.0


def _screen_size(stream: Any, frame: Any) -> tuple[int, int]:
    aspect = stream.sample_aspect_ratio or Fraction(1)
    height, width = frame.height, max(1, round(frame.width * aspect))
    return (width, height) if frame.rotation // 90 % 2 else (height, width)


def _picture_of(stream: Any, first: Any) -> Callable[[Any], UInt8[np.ndarray, "h w 3"]]:
    """Returns what turns frames, all alike, into pictures as they are to be seen."""
    has_alpha = any(component.is_alpha for component in first.format.components)
    graph = Graph()
    graph.link_nodes(
        graph.add_buffer(template=stream),
        graph.add("scale", f"flags={EXACT_SCALING}"),
        graph.add("format", "rgba" if has_alpha else "rgb24"),
        graph.add("buffersink"),
    ).configure()

    def picture(frame: Any) -> UInt8[np.ndarray, "h w 3"]:
        graph.vpush(frame)
        pixels = graph.vpull().to_ndarray()
        pixels = to_uint8(over_grey(pixels)) if has_alpha else pixels
        # The flag counts counter-clockwise degrees, as rot90 does.
        return np.rot90(pixels, frame.rotation // 90)

    return picture


def over_grey(rgba: UInt8[np.ndarray, "h w 4"]) -> Float[np.ndarray, "h w 3"]:
    """Blends transparency into the grey that stands for unknown pixels."""
    alpha = rgba[..., 3:].astype(np.float32) / np.float32(255)
    return to_float(rgba[..., :3]) * alpha


def fit(
    frames: Float[np.ndarray, "t h w c"],
    height: int,
    width: int,
    how: Fit = "crop",
    *,
    shown: tuple[int, int] | None = None,
) -> Float[np.ndarray, "t height width c"]:
    """Resamples frames, antialiased, to a size.

    Args:
      frames: values in [-1, 1].
      height: rows wanted.
      width: columns wanted.
      how: "crop" fills the size and cuts what stands out, evenly on both sides;
        "pad" shows everything between grey (0) bars; "stretch" ignores the aspect.
      shown: (height, width) on a screen, for frames whose pixels are not square.
    """
    if height < 1 or width < 1:
        raise ValueError(f"size must be at least 1x1, got {width}x{height}")
    if how not in ("crop", "pad", "stretch"):
        raise ValueError(f"how must be crop, pad or stretch, got {how!r}")
    rows, columns = shown or frames.shape[1:3]
    if frames.shape[1:3] == (rows, columns) == (height, width):
        return frames
    inner, left, top = (width, height), 0.0, 0.0
    if how == "crop":
        scale = max(height / rows, width / columns)
        left = max((columns - width / scale) / 2, 0.0)
        top = max((rows - height / scale) / 2, 0.0)
    elif how == "pad":
        scale = min(height / rows, width / columns)
        inner = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    across, down = frames.shape[2] / columns, frames.shape[1] / rows
    right = min((columns - left) * across, frames.shape[2])
    bottom = min((rows - top) * down, frames.shape[1])
    box = (left * across, top * down, right, bottom)
    out = np.zeros((frames.shape[0], height, width, frames.shape[3]), np.float32)
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    window = out[:, top : top + inner[1], left : left + inner[0]]
    for index in np.ndindex(frames.shape[0], frames.shape[3]):
        plane = Image.fromarray(frames[index[0], ..., index[1]].astype(np.float32))
        resized = plane.resize(inner, Image.Resampling.BICUBIC, box=box)
        window[index[0], ..., index[1]] = np.asarray(resized)
    # Bicubic overshoots at edges.
    return np.clip(out, -1, 1)

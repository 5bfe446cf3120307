"""Decode video files frame by frame, in display order, one frame in memory."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import av
import numpy as np
from jaxtyping import UInt8

from sora_jax.data import animations, containers, display
from sora_jax.data.packets import NoKeyframe, Packets
from sora_jax.data.video import fit, to_float, to_uint8
from sora_jax.files import InMemory, Openable, PathLike, existing, quoted
from sora_jax.limits import LIMITS, LONGEST_FRAME, Limits
from sora_jax.types import Clip

SEEK = 2.0  # seconds from which finding a keyframe is faster than decoding all before


@dataclasses.dataclass(frozen=True, kw_only=True)
class TimedFrame:
    """A decoded frame and its display time.

    Attributes:
      pixels: returns its upright picture, `uint8[h w 3]`, over grey if it has alpha;
        `uint8[h w 4]` if alpha is kept.
      size: displayed (height, width); differs from the picture's if pixels are not
        square.
      begin: seconds since the first frame; increasing.
      length: its duration in seconds, by the file.
      tick: time resolution of the file in seconds.
      rate: declared frames per second; 0 if undeclared.
    """

    pixels: Callable[[], UInt8[np.ndarray, "h w c"]]
    size: tuple[int, int]
    begin: float
    length: float
    tick: float
    rate: float


def read_video(
    path: PathLike, *, max_frames: int | None = None, field: str = "--video"
) -> Clip:
    """Read a video, upright and in its display aspect ratio.

    Variable frame rates are not resampled; `fps` is then the mean.

    Args:
      path: a video file (`containers.DEMUXERS`); may be `gs://`.
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
    return Clip(pixels=to_uint8(pixels), fps=_frame_rate(shown))


def _frame_rate(shown: Sequence[TimedFrame]) -> float:
    """Return the declared frame rate, unless the timestamps contradict it."""
    declared = shown[0].rate
    if len(shown) == 1:
        return declared or 1.0
    measured = (len(shown) - 1) / shown[-1].begin
    return declared if abs(declared / measured - 1) < 0.02 else measured


def decode(
    path: PathLike,
    *,
    field: str = "--video",
    keep_alpha: bool = False,
    limits: Limits = LIMITS,
) -> Iterator[TimedFrame]:
    """Yield a video's frames in display order, with one in memory.

    Frames before the first keyframe cannot be decoded: they are skipped with a warning.

    Args:
      path: a video file (`containers.DEMUXERS`) or an animated WebP; may be `gs://`.
      field: the flag or config field that error messages name.
      keep_alpha: whether pictures of a video with alpha have a fourth channel.
      limits: how large its frames may be, and how long they may last.

    Raises:
      ValueError: the file is missing, holds no video, is damaged (says after how many
        frames), or exceeds the limits.
    """
    named = f"{field} {quoted(path)}"
    return _checked(existing(path, field), named, limits, keep_alpha)


def decode_bytes(
    content: bytes,
    named: str,
    *,
    keep_alpha: bool = False,
    start: float = 0.0,
    limits: Limits = LIMITS,
) -> Iterator[TimedFrame]:
    """Yield the frames of a video that is in memory, as `decode` does.

    Args:
      content: of a video file.
      named: its name in error messages.
      keep_alpha: whether pictures of a video with alpha have a fourth channel.
      start: seconds; frames that end before may be left out, if the file has an index
        of its keyframes.
      limits: how large its frames may be, and how long they may last.

    Raises:
      ValueError: as in `decode`.
    """
    return _checked(InMemory(content), named, limits, keep_alpha, start)


def _checked(
    source: Openable,
    named: str,
    limits: Limits,
    keep_alpha: bool = False,
    start: float = 0.0,
) -> Iterator[TimedFrame]:
    """Yield the frames of a file; name it in every error."""
    good, before = 0, 0.0
    try:
        for shown in _frames(source, named, limits, keep_alpha, start):
            if good and shown.begin - before > limits.gap:
                raise ValueError(
                    f"frame {good} comes {shown.begin - before:.3g} seconds after the "
                    f"one before, and at most {limits.gap:g} are taken"
                )
            good, before = good + 1, shown.begin
            yield shown
    except Exception as error:  # libraries raise anything on damaged files
        raise containers.unreadable_error(named, good, error) from error
    if not good:
        raise ValueError(f"{named} holds no frames; give another file")


def _frames(
    source: Openable, named: str, limits: Limits, keep_alpha: bool, start: float
) -> Iterator[TimedFrame]:
    if animations.is_animation(source):
        yield from _animated(source, limits, keep_alpha)
        return
    if start > SEEK:
        with containers.open_container(source, limits) as opened:
            frames = _timed(opened, named, limits, keep_alpha, start)
            with contextlib.suppress(NoKeyframe, StopIteration):
                yield next(frames)
                yield from frames
                return
    with containers.open_container(source, limits) as opened:
        yield from _timed(opened, named, limits, keep_alpha)


def _animated(
    source: Openable, limits: Limits, keep_alpha: bool
) -> Iterator[TimedFrame]:
    begin = 0.0
    for picture in animations.animation_frames(source, limits, keep_alpha):
        yield TimedFrame(
            pixels=functools.partial(np.asarray, picture.pixels),
            size=picture.pixels.shape[:2],
            begin=begin,
            length=picture.seconds,
            tick=1e-3,
            rate=0.0,
        )
        begin += picture.seconds


def _timed(
    opened: containers.OpenContainer,
    named: str,
    limits: Limits,
    keep_alpha: bool,
    seek: float = 0.0,
) -> Iterator[TimedFrame]:
    """Decode frames; without valid timestamps, each follows the one before.

    With `seek`, those from the keyframe before this time on.

    Raises:
      NoKeyframe: there is none that can be found.
    """
    container, stream, meter = opened
    rate = float(stream.average_rate or stream.guessed_rate or stream.base_rate or 0)
    tick, declared = float(stream.time_base), _declared_seconds(container, stream)
    start, begin, length, opening = None, 0.0, 0.0, 0.0
    picture, size = None, (0, 0)
    packets = Packets(container, stream, containers.make_decoder(stream, limits))
    frames = packets.frames_from(seek) if seek else packets.frames()
    for number, frame in enumerate(frames):
        meter.frame()
        containers.check_pixels(frame, limits)
        if picture is None:
            picture = display.picture_of(stream, frame, keep_alpha)
            size = display.screen_size(stream, frame)
            opening = packets.left_out(frame, named)
        following = begin + length
        if start is None and frame.time is not None:
            start = frame.time - following
        if seek and number == 0:
            continue  # read only for what is known from it
        time = following if frame.time is None else frame.time - start
        is_sane = begin < time <= max(declared, begin + LONGEST_FRAME)
        is_found = bool(seek) and number == 1
        begin = time if is_sane or is_found else following
        length = frame.duration * tick if frame.duration else 1 / (rate or 1)
        yield TimedFrame(
            pixels=functools.partial(picture, frame),
            size=size,
            begin=begin,
            length=length,
            tick=tick,
            rate=rate,
        )
    # FFmpeg does not report a truncated file.
    there = opening + begin + length
    if declared - there > max(declared / 10, 2 * length):
        raise ValueError(f"{there:.3g} of its {declared:.3g} seconds are in the file")


def _declared_seconds(container: Any, stream: Any) -> float:
    """Return the declared duration of the video; 0 if undeclared."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    # The container's duration includes its sound.
    is_alone = len(container.streams) == 1 and container.duration
    return container.duration / av.time_base if is_alone else 0.0

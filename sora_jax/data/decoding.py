"""Decode video files frame by frame, in display order, one frame in memory."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import av
import numpy as np
from av.error import InvalidDataError
from jaxtyping import UInt8

from sora_jax.data import animations, containers, display
from sora_jax.data.video import fit, to_float, to_uint8
from sora_jax.files import InMemory, Openable, PathLike, existing, quoted
from sora_jax.limits import LIMITS, LONGEST_FRAME, Limits
from sora_jax.types import Clip

_logger = logging.getLogger(__name__)


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
    content: bytes, named: str, *, keep_alpha: bool = False, limits: Limits = LIMITS
) -> Iterator[TimedFrame]:
    """Yield the frames of a video that is in memory, as `decode` does.

    Args:
      content: of a video file.
      named: its name in error messages.
      keep_alpha: whether pictures of a video with alpha have a fourth channel.
      limits: how large its frames may be, and how long they may last.

    Raises:
      ValueError: as in `decode`.
    """
    return _checked(InMemory(content), named, limits, keep_alpha)


def _checked(
    source: Openable, named: str, limits: Limits, keep_alpha: bool = False
) -> Iterator[TimedFrame]:
    """Yield the frames of a file; name it in every error."""
    good, before = 0, 0.0
    try:
        for shown in _frames(source, named, limits, keep_alpha):
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
    source: Openable, named: str, limits: Limits, keep_alpha: bool
) -> Iterator[TimedFrame]:
    if animations.is_animation(source):
        yield from _animated(source, limits, keep_alpha)
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
    opened: containers.OpenContainer, named: str, limits: Limits, keep_alpha: bool
) -> Iterator[TimedFrame]:
    """Decode frames; without valid timestamps, each follows the one before."""
    container, stream, meter = opened
    rate = float(stream.average_rate or stream.guessed_rate or stream.base_rate or 0)
    tick, declared = float(stream.time_base), _declared_seconds(container, stream)
    start, begin, length, opening = None, 0.0, 0.0, 0.0
    picture, size = None, (0, 0)
    packets = _Packets(container, stream, containers.make_decoder(stream, limits))
    for frame in packets.frames():
        meter.frame()
        containers.check_pixels(frame, limits)
        if picture is None:
            picture = display.picture_of(stream, frame, keep_alpha)
            size = display.screen_size(stream, frame)
            opening = packets.left_out(frame, named)
        following = begin + length
        if start is None and frame.time is not None:
            start = frame.time - following
        time = following if frame.time is None else frame.time - start
        is_sane = begin < time <= max(declared, begin + LONGEST_FRAME)
        begin = time if is_sane else following
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


class _Packets:
    """Decodes the packets of a stream, and keeps their times."""

    def __init__(self, container: Any, stream: Any, decoder: Any):
        self._container, self._stream, self._decoder = container, stream, decoder
        self._times: list[int] = []

    def frames(self) -> Iterator[Any]:
        """Yield frames as they are decoded."""
        failed, any_frame = None, False
        for packet in self._container.demux(self._stream):
            if packet.pts is not None and not packet.is_discard and not any_frame:
                self._times.append(packet.pts)
            try:
                frames = self._decoder.decode(packet)
            except InvalidDataError as error:
                if any_frame:
                    raise
                failed = error  # expected before the first keyframe
                continue
            for frame in frames:
                if frame.time_base is None:
                    frame.time_base = self._stream.time_base
                yield frame
                any_frame = True
        if failed is not None and not any_frame:
            raise failed

    def left_out(self, first: Any, named: str) -> float:
        """Warn about frames before the first one that could not be decoded.

        Returns:
          The seconds from the beginning of the file to the first frame.
        """
        if first.pts is None:
            return 0.0
        lost = sum(time < first.pts for time in self._times)
        if lost:
            _logger.warning(
                "%s was cut between keyframes: its first %d frame%s cannot be decoded "
                "and %s left out",
                named,
                lost,
                "s" * (lost > 1),
                "are" if lost > 1 else "is",
            )
        # Matroska's duration counts from 0, others' from the first packet.
        is_matroska = "matroska" in self._container.format.name
        starts = 0 if is_matroska else self._stream.start_time or 0
        return max(0.0, float((first.pts - starts) * self._stream.time_base))


def _declared_seconds(container: Any, stream: Any) -> float:
    """Return the declared duration of the video; 0 if undeclared."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    # The container's duration includes its sound.
    is_alone = len(container.streams) == 1 and container.duration
    return container.duration / av.time_base if is_alone else 0.0

"""Decode the packets of a video stream, from its beginning or from a keyframe."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from av.error import FFmpegError, InvalidDataError

# FFmpeg's names of formats with an index of keyframes.
_INDEXED = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
_logger = logging.getLogger(__name__)


class NoKeyframe(Exception):
    """The keyframe before a time cannot be found for sure."""


class Packets:
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

    def frames_from(self, seconds: float) -> Iterator[Any]:
        """Yield the first frame, and those from the keyframe before a time on.

        Args:
          seconds: since the first frame.

        Raises:
          NoKeyframe: the keyframe cannot be found, or not for sure.
        """
        # Others are searched by guesses, and the alpha of VP9 has a decoder of its own.
        is_indexed = self._container.format.name in _INDEXED
        if not is_indexed or self._decoder is not self._stream.codec_context:
            raise NoKeyframe
        first = next(self.frames(), None)
        if first is None or first.time is None:
            raise NoKeyframe
        yield first
        end = first.time + seconds
        try:
            self._container.seek(int(end / self._stream.time_base), stream=self._stream)
        except FFmpegError as error:
            raise NoKeyframe from error
        self._decoder.flush_buffers()
        is_first = True
        for frame in self.frames():
            if is_first and not (
                frame.key_frame
                and frame.time is not None
                and first.time <= frame.time <= end
            ):
                raise NoKeyframe
            is_first = False
            yield frame

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

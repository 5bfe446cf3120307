"""Open untrusted video files: no playlists, no other files, no network.

FFmpeg knows formats that name other files or addresses (HLS, DASH, concat, SDP,
numbered pictures), whatever a file is called. Only containers that hold their own
content are taken, nothing further is ever opened, and frames have a largest size.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import av
from av.error import ArgumentError
from av.stream import Disposition

from sora_jax.files import BinaryFile, Openable
from sora_jax.limits import LIMITS, Limits

# Demuxers of containers and streams that hold their own content. Not among them, since
# they open other files: hls, dash, concat, sdp, rtsp, image2, imf, webm_dash_manifest.
DEMUXERS = (
    *("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "mpegts", "mpeg", "mpegvideo"),
    *("asf", "flv", "live_flv", "ogg", "mxf", "nut", "rm", "dv", "wtv", "nsv", "gxf"),
    *("gif", "apng", "ivf", "obu", "av1", "h261", "h263", "h264", "hevc", "vvc", "m4v"),
    *("vc1", "dirac", "cavsvideo", "mjpeg", "yuv4mpegpipe", "flic", "smk", "bink"),
)
# FFmpeg's own decoders of these leave alpha out.
ALPHA_DECODERS = {"vp9": "libvpx-vp9", "vp8": "libvpx"}
_BUFFER = 2**18  # bytes that are read at a time


class OpenContainer(NamedTuple):
    """A video file that is being read.

    Attributes:
      container: of FFmpeg's.
      stream: of its video.
      meter: counts bytes read since the last frame.
    """

    container: Any
    stream: Any
    meter: Meter


class Meter:
    """A file that limits the bytes read between two frames."""

    def __init__(self, file: BinaryFile, most: int | float):
        self._file, self._most = file, most
        self._since = 0

    def frame(self) -> None:
        """Reset the count: a frame was decoded."""
        self._since = 0

    def read(self, size: int = -1) -> bytes:
        """Read bytes.

        Raises:
          OSError: too many bytes without a frame.
        """
        content = self._file.read(size)
        self._since += len(content)
        if self._since > self._most:
            raise OSError(f"{self._since:,} bytes hold no frame")
        return content

    def seek(self, offset: int, whence: int = 0) -> int:
        """Seek, as in `io`."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._file.tell()


@contextlib.contextmanager
def open_container(
    source: Openable, limits: Limits = LIMITS
) -> Iterator[OpenContainer]:
    """Open a file; yield its container and its video stream.

    Raises:
      ValueError: it holds no video, or a larger one than the limits allow.
      FFmpegError, OSError: it cannot be opened.
    """
    options = {"format_whitelist": ",".join(DEMUXERS), "protocol_whitelist": "none"}
    # A file object, since FFmpeg takes "a:b.mp4" for a protocol.
    with source.open("rb") as file:
        meter = Meter(file, limits.silence)
        try:
            container = av.open(
                meter, container_options=options, io_open=_refuse, buffer_size=_BUFFER
            )
        except ArgumentError as error:
            raise ValueError(
                "it is no video file, or of a kind that is not taken, such as a "
                "playlist, which names other files"
            ) from error
        with container:
            stream: Any = container.streams.best("video")
            # The cover art of a song is a video stream, too.
            if stream is None or stream.disposition & Disposition.attached_pic:
                raise ValueError("it has no video stream")
            if stream.codec_context is None:
                raise ValueError("no decoder of its codec is available")
            check_pixels(stream.codec_context, limits)
            # The decoder learns the actual size later.
            stream.codec_context.options = _bounded(limits)
            stream.thread_type = "AUTO"
            yield OpenContainer(container, stream, meter)


def unreadable_error(named: str, good: int, error: Exception) -> ValueError:
    """Return the error for a file that fails after `good` decoded frames."""
    reason = getattr(error, "strerror", None) or error  # without FFmpeg's error number
    where = f"after {good} good frames" if good else "at its start"
    return ValueError(
        f"{named} cannot be read as a video (it stops {where}: {reason}); "
        "re-encode it, for instance with 'ffmpeg -i IN -c:v libx264 OUT.mp4', or give "
        "another file"
    )


def make_decoder(stream: Any, limits: Limits = LIMITS) -> Any:
    """Create the decoder of a stream, with alpha if the stream has it."""
    usual = stream.codec_context
    name = ALPHA_DECODERS.get(usual.name)
    # Matroska's tag names have any case.
    told = {key.lower(): value for key, value in stream.metadata.items()}
    if told.get("alpha_mode") != "1" or name not in av.codecs_available:
        return usual
    decoder = av.CodecContext.create(name, "r")
    decoder.extradata, decoder.options = usual.extradata, _bounded(limits)
    decoder.thread_type = "AUTO"
    return decoder


def check_pixels(sized: Any, limits: Limits) -> None:
    """Refuse frames of more pixels than the limits allow.

    Args:
      sized: a frame, or what decodes frames.
      limits: how many pixels there may be.
    """
    if sized.width * sized.height > limits.pixels:
        raise ValueError(
            f"its frames are {sized.width}x{sized.height}, more than {limits.pixels:,} "
            "pixels: make it smaller first, or lift the limits (--unlimited)"
        )


def _bounded(limits: Limits) -> dict[str, str]:
    if limits.pixels == math.inf:
        return {}
    return {"max_pixels": str(int(limits.pixels))}


def _refuse(url: str, flags: int, options: Any) -> Any:
    """Refuse to open a file that another file names."""
    del url, flags, options
    raise PermissionError("it names another file, which is not opened")

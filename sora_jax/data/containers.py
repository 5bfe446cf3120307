"""Video files opened without trust: no playlist, no other file, no network.

FFmpeg knows formats that name other files or addresses (HLS, DASH, concat, SDP,
numbered pictures), whatever a file is called. Only containers that hold their own
content are taken, nothing further is ever opened, and frames have a largest size.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import av
from av.error import ArgumentError
from av.stream import Disposition
from etils import epath

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


@contextlib.contextmanager
def opened(source: epath.Path, limits: Limits = LIMITS) -> Iterator[tuple[Any, Any]]:
    """Opens a file, and gives its container and its video stream.

    Raises:
      ValueError: it holds no video, or a larger one than the limits allow.
      FFmpegError, OSError: it cannot be opened.
    """
    options = {"format_whitelist": ",".join(DEMUXERS), "protocol_whitelist": "none"}
    # A file object, since FFmpeg takes "a:b.mp4" for a protocol.
    with source.open("rb") as file:
        try:
            container = av.open(file, container_options=options, io_open=_refuse)
        except ArgumentError as error:
            raise ValueError(
                "it is no video file, or of a kind that is not taken, such as a "
                "playlist, which names other files"
            ) from error
        with container:
            stream = container.streams.best("video")
            # The cover of a song is a stream, too.
            if stream is None or stream.disposition & Disposition.attached_pic:
                raise ValueError("it has no video stream")
            _check_pixels(stream, limits)
            yield container, stream


def decoder_of(stream: Any) -> Any:
    """What decodes a stream's packets, with alpha where the stream has some."""
    name = ALPHA_DECODERS.get(stream.codec_context.name)
    if stream.metadata.get("alpha_mode") != "1" or name not in av.codecs_available:
        return stream.codec_context
    return av.CodecContext.create(name, "r")


def _refuse(url: str, flags: int, options: Any) -> Any:
    """Open nothing that a file names."""
    del url, flags, options
    raise PermissionError("it names another file, which is not opened")


def _check_pixels(stream: Any, limits: Limits) -> None:
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > limits.pixels:
        raise ValueError(
            f"its frames are {width}x{height}, more than {limits.pixels} pixels: make "
            "it smaller first, or give --unlimited"
        )
    if limits.pixels < math.inf:  # a decoder learns the real size later
        stream.codec_context.options = {"max_pixels": str(int(limits.pixels))}

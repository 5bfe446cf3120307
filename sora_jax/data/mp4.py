"""Encode frames to MP4 as they come: a whole file, or one that plays as it grows."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.filter import Graph
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from jaxtyping import UInt8

from sora_jax.data.video import EXACT_SCALING
from sora_jax.files import BinaryFile

# Visually lossless; a 64x64 clip of two seconds is about 10 kB. With x264's macroblock
# tree, the same frames give other bytes each time.
_QUALITY = {"crf": "16", "preset": "medium", "x264-params": "mbtree=0"}
# Each frame leaves the encoder before the next one comes, and the file as a fragment.
_AT_ONCE = {"crf": "20", "preset": "veryfast", "tune": "zerolatency"}
_FRAGMENTS = {"movflags": "frag_every_frame+empty_moov+default_base_moof"}
_COLOUR = f"out_color_matrix=bt709:out_range=tv:flags={EXACT_SCALING}"


class Mp4Writer:
    """Encodes H.264, tagged BT.709; odd sizes repeat their last row or column."""

    def __init__(
        self,
        target: str | BinaryFile,
        fps: int | float,
        layout: str = "yuv420p",
        *,
        is_live: bool = False,
    ):
        """Begin a file.

        Args:
          target: an address of FFmpeg, or an open file.
          fps: frames per second; may be fractional.
          layout: of pixels; "yuv444p" keeps the edges of saturated colours, but
            browsers do not play it.
          is_live: whether it may be played while it grows; otherwise a file has its
            index first.
        """
        self.rate = Fraction(fps).limit_denominator(1001)
        self.layout, self.quality = layout, _AT_ONCE if is_live else _QUALITY
        options = {"movflags": "+faststart"} if isinstance(target, str) else {}
        options = _FRAGMENTS if is_live else options
        flushing = {"flush_packets": "1"} if is_live else {}
        self.container = av.open(
            target, "w", format="mp4", options=options, container_options=flushing
        )
        self.stream: Any = None
        self.graph: Graph | None = None
        self.count = 0

    def __enter__(self) -> Mp4Writer:
        """Return the writer, which is closed afterwards."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Complete the file, unless there was an error."""
        with self.container:
            if kind is None and self.stream is not None:
                self.container.mux(self.stream.encode())

    def add(self, pixels: UInt8[np.ndarray, "h w 3"]) -> None:
        """Encode the next frame."""
        # 4:2:0 halves the colour planes, so sizes are even.
        odd = [(0, side % 2) for side in pixels.shape[:2]]
        pixels = np.pad(pixels, [*odd, (0, 0)], mode="edge")
        if self.graph is None:
            self._begin(*pixels.shape[:2])
        assert self.graph is not None
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts, frame.time_base = self.count, 1 / self.rate
        self.graph.vpush(frame)
        self.container.mux(self.stream.encode(self.graph.vpull()))
        self.count += 1

    def _begin(self, height: int, width: int) -> None:
        stream = self.container.add_stream(
            "libx264", rate=self.rate, options=self.quality
        )
        stream.width, stream.height, stream.pix_fmt = width, height, self.layout
        # Players guess the colours of untagged files differently.
        stream.codec_context.colorspace = Colorspace.ITU709
        stream.codec_context.color_range = ColorRange.MPEG
        stream.codec_context.color_primaries = ColorPrimaries.BT709
        stream.codec_context.color_trc = ColorTrc.BT709
        self.stream = stream
        self.graph = _to_yuv(width, height, self.rate, self.layout)


def _to_yuv(width: int, height: int, rate: Fraction, layout: str) -> Graph:
    graph = Graph()
    rgb = av.VideoFormat("rgb24")
    graph.link_nodes(
        graph.add_buffer(width=width, height=height, format=rgb, time_base=1 / rate),
        graph.add("scale", _COLOUR),
        graph.add("format", layout),
        graph.add("buffersink"),
    ).configure()
    return graph

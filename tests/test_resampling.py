"""Reading from a keyframe gives the frames that reading from the first one does."""

from fractions import Fraction

import av
import numpy as np
import pytest

from sora_jax.data import decoding, packets
from sora_jax.data.sources.resampling import read_at

SECONDS, FPS = 12, 10


def video(path, codec, options, layout="yuv420p", delay=0):
    """Noise that moves, with a keyframe about every two seconds."""
    noise = np.random.default_rng(0).integers(0, 256, (48, 64 + 2 * 120, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 64, 48, layout
        stream.options, stream.gop_size = options, 21
        for number in range(SECONDS * FPS):
            pixels = np.ascontiguousarray(noise[:, 2 * number : 2 * number + 64])
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number + delay, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path.read_bytes()


# Name -> (codec, options, whether keyframes are found).
KINDS = {
    "closed.mp4": ("libx264", {"crf": "20", "bf": "3"}, True),
    "open.mp4": (
        "libx264",
        {"crf": "20", "bf": "3", "x264-params": "open-gop=1"},
        None,
    ),
    "open.mkv": (
        "libx264",
        {"crf": "20", "bf": "3", "x264-params": "open-gop=1"},
        None,
    ),
    "hevc.mp4": (
        "libx265",
        {"crf": "20", "x265-params": "open-gop=1:log-level=0"},
        None,
    ),
    "vp9.webm": ("libvpx-vp9", {"cpu-used": "8", "deadline": "realtime"}, True),
    "other.ts": ("libx264", {"crf": "20", "bf": "3"}, False),
    "other.avi": ("mpeg4", {}, False),
}


@pytest.mark.parametrize("delay", [0, 7])
@pytest.mark.parametrize("name", KINDS)
def test_frames_are_those_of_reading_from_the_beginning(
    tmp_path, monkeypatch, name, delay
):
    codec, options, is_found = KINDS[name]
    content = video(tmp_path / name, codec, options, delay=delay)
    starts, found = [], 0
    frames_from = packets.Packets.frames_from

    def counted(self, seconds):
        nonlocal found
        for number, frame in enumerate(frames_from(self, seconds)):
            if number == 1:
                found += 1
                starts.append(frame.time)
            yield frame

    monkeypatch.setattr(packets.Packets, "frames_from", counted)
    asked = [np.array([begin, begin + 0.3]) for begin in (0.0, 2.09, 4.2, 7.77, 11.9)]
    asked.append(np.array([9.5, 3.0, 30.0]))
    sought = [read_at(content, times, (48, 64), name) for times in asked]
    if is_found is not None:
        assert bool(found) == is_found
    if is_found:
        assert len(set(starts)) > 3
    monkeypatch.setattr(decoding, "SEEK", np.inf)
    for times, pixels in zip(asked, sought, strict=True):
        whole = read_at(content, times, (48, 64), name)
        np.testing.assert_array_equal(pixels, whole)

"""What only looks like a video or a picture, or would take what it must not."""

import dataclasses
import os
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sora_jax.data import arrays, decoding, footage, pictures
from sora_jax.limits import LIMITS, UNLIMITED
from tests.helpers.paths import FAULTS

PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile {}\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" '
    'type="static" mediaPresentationDuration="PT2S"><Period><AdaptationSet '
    'contentType="video"><Representation id="0" mimeType="video/mp4" bandwidth="1">'
    "<BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
}


def pixels(path: Path) -> np.ndarray:
    return np.stack([shown.pixels() for shown in decoding.decode(path)])


@pytest.mark.parametrize("name", ["upright.mp4", "cut_copy.mkv", "alpha_vp9.webm"])
def test_a_hole_in_a_file_ends(tmp_path, name):
    path = tmp_path / name
    content = (FAULTS / name).read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with open(path, "r+b") as file:
        file.truncate(20 * 2**30)
    with pytest.raises(ValueError, match="cannot be read as a video"):
        list(decoding.decode(path))


@pytest.fixture
def opened():
    """The files and addresses that are opened, as Python's audit hook tells them."""
    found, is_on = [], [True]

    def hear(event, arguments):
        if is_on[0] and event in ("open", "socket.connect", "subprocess.Popen"):
            found.append(str(arguments[0]))

    sys.addaudithook(hear)
    yield found
    is_on[0] = False


@pytest.mark.parametrize("suffix", [".m3u8", ".mp4", ".mkv", ".txt"])
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_no_file_opens_another(tmp_path, opened, kind, suffix):
    # FFmpeg opens files itself, which no hook sees; this address would be reached for.
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        port = server.getsockname()[1]
        for target in (
            os.fspath(FAULTS / "upright.mp4"),
            f"http://127.0.0.1:{port}/a.mp4",
            f"tcp://127.0.0.1:{port}",
        ):
            path = tmp_path / f"playlist{suffix}"
            path.write_text(PLAYLISTS[kind].format(target))
            with pytest.raises(ValueError, match="cannot be read as a video"):
                footage.read_footage(path, fps=8, size=(8, 8))
            with pytest.raises(ValueError, match="cannot be read as an image"):
                pictures.read_image(path)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert not [name for name in opened if "upright" in name]


def test_postscript_starts_no_program(opened):
    with pytest.raises(ValueError, match="it is none of AVIF, BMP"):
        pictures.read_image(FAULTS / "eps.png")
    with pytest.raises(ValueError, match="cannot be read as a video"):
        footage.read_footage(FAULTS / "eps.png", fps=8, size=(8, 8))
    assert not [name for name in opened if "gs" in Path(name).name]


@pytest.mark.parametrize("read", [pictures.read_image, pixels])
def test_what_is_no_regular_file_is_named(tmp_path, monkeypatch, read):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(tmp_path)  # names of sockets are short
        listener.bind("socket")
        wrong = {
            tmp_path / "pipe": "is a pipe",
            tmp_path / "socket": "is a socket",
            Path("/dev/zero"): "is a device",
            tmp_path: "is a folder",
            tmp_path / ("a" * 5000): "is no file",
            "a\0b": "is no file",
            Path("/proc/self/status"): "give a file on a disk",
            "https://example.com/a.mp4": "is an unsupported URL: give a file",
            "gs://bucket/a.mp4": "needs the package gcsfs: pip install gcsfs",
        }
        for path, message in wrong.items():
            with pytest.raises(ValueError, match=message):
                read(path)


def test_frames_that_are_too_large_are_refused_before_they_are_decoded(tmp_path):
    with Image.new("1", (13_000, 13_000)) as image:
        image.save(tmp_path / "large.png")
    with pytest.raises(ValueError, match="13000x13000, more than 50331648 pixels"):
        pictures.read_image(tmp_path / "large.png")
    small = dataclasses.replace(LIMITS, pixels=96 * 64 - 1)
    with pytest.raises(ValueError, match="96x64, more than 6,143 pixels"):
        next(decoding.decode(FAULTS / "upright.mp4", limits=small))
    assert (tmp_path / "large.png").stat().st_size < 200_000


def test_gaps_in_time_are_not_filled_with_frames():
    with pytest.raises(ValueError, match=r"1e\+08 seconds after the one before"):
        footage.read_footage(FAULTS / "gap1e8.mkv", fps=1000, size=(8, 8))
    with pytest.raises(ValueError, match="is too long: at most"):
        footage.read_footage(
            FAULTS / "gap1e8.mkv", fps=1000, size=(512, 512), limits=UNLIMITED
        )


def test_an_array_is_mapped_and_never_read_whole(tmp_path):
    header = {"descr": "<f4", "fortran_order": False}
    with open(tmp_path / "long.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {**header, "shape": (10_000, 64, 64, 3)}
        )
        file.truncate(file.tell() + 10_000 * 64 * 64 * 3 * 4)  # 491 MB of holes
    frames = arrays.array_frames(tmp_path / "long.npy", 8.0)
    assert (next(frames).pixels() == 0).all()
    assert isinstance(arrays.open_array(tmp_path / "long.npy", field="x"), np.memmap)
    with open(tmp_path / "huge.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, {**header, "shape": (10**10,)})
    with pytest.raises(ValueError, match="--video .* no whole .npy file"):
        next(arrays.array_frames(tmp_path / "huge.npy", 8.0))

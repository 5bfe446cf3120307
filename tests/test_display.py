"""Videos and pictures come out as players and viewers show them."""

import itertools
import math
import os
import struct
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc
from PIL import Image

from sora_jax.data import decoding, footage, hdr, pictures
from tests.helpers.paths import FAULTS


def upright() -> np.ndarray:
    return pixels(FAULTS / "upright.mp4")


def pixels(path: Path) -> np.ndarray:
    return np.stack([shown.pixels() for shown in decoding.decode(path)])


@pytest.mark.parametrize("signs", list(itertools.product((1, -1), (1, -1))))
@pytest.mark.parametrize("is_swapped", [False, True])
def test_clips_are_shown_as_their_whole_matrix_says(tmp_path, signs, is_swapped):
    across, down = signs
    matrix = [[across, 0], [0, down]]
    if is_swapped:  # x is shown along y, and y along x
        matrix = [[0, down], [across, 0]]
    (a, b), (c, d) = matrix
    values = [a * 65536, b * 65536, 0, c * 65536, d * 65536, 0, 0, 0, 1 << 30]
    data = bytearray((FAULTS / "upright.mp4").read_bytes())
    at = data.index(b"tkhd") + 44
    data[at : at + 36] = struct.pack(">9i", *values)
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    expected = upright().swapaxes(1, 2) if is_swapped else upright()
    np.testing.assert_array_equal(pixels(path), expected[:, ::down, ::across])


def write_hdr(
    path: Path, code: float, transfer: int, primaries: int = 9, chroma: bool = False
) -> Path:
    """Writes a frame of ten bits, of one grey or one saturated red."""
    with av.open(os.fspath(path), "w") as container:
        stream = container.add_stream("ffv1", rate=8)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries = transfer, primaries
        context.colorspace = Colorspace.BT2020 if primaries == 9 else Colorspace.ITU709
        frame = av.VideoFrame(16, 16, "yuv420p10le")
        frame.pts = 0
        luma = round(64 + 876 * code)
        planes = (luma, 512 - 80 * chroma, 512 + 200 * chroma)
        for plane, value in zip(frame.planes, planes, strict=True):
            content = np.zeros(plane.buffer_size // 2, "<u2") + value
            plane.update(content.astype("<u2").tobytes())
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_white_of_hdr_is_white(tmp_path):
    for shown in decoding.decode(FAULTS / "white_pq.mp4"):
        assert shown.pixels().min() >= 250
    # Diffuse white of both systems (BT.2408): 58% of PQ's codes, 75% of HLG's.
    for code, transfer in ((0.58, hdr.PQ), (0.75, hdr.HLG)):
        path = write_hdr(tmp_path / f"{transfer}.mkv", code, transfer)
        assert abs(int(pixels(path)[0, 0, 0, 0]) - 253) <= 2
        dark = write_hdr(tmp_path / f"dark{transfer}.mkv", code / 2, transfer)
        assert 30 < pixels(dark)[0, 0, 0, 0] < 150


def test_what_is_brighter_than_white_stays_in_order():
    light = np.linspace(0, 50, 1000, dtype=np.float32)
    pressed = hdr.compress_highlights(light[:, None, None].repeat(3, axis=2))[:, 0, 0]
    assert np.all(np.diff(pressed) >= -1e-6) and pressed.max() <= 1
    is_dark = light < hdr.KNEE
    np.testing.assert_array_equal(pressed[is_dark], light[is_dark])


def test_wide_primaries_become_those_of_a_screen(tmp_path):
    transfer = int(ColorTrc.BT709)
    for primaries in (int(ColorPrimaries.BT2020), int(ColorPrimaries.SMPTE432)):
        path = write_hdr(tmp_path / f"{primaries}.mkv", 0.5, transfer, primaries)
        grey = pixels(path)[0, 0, 0]
        np.testing.assert_allclose(grey, 127.5, atol=2)  # grey stays grey
        red = write_hdr(tmp_path / f"r{primaries}.mkv", 0.3, transfer, primaries, True)
        plain = write_hdr(tmp_path / f"p{primaries}.mkv", 0.3, transfer, 1, True)
        # The same code is a stronger red where the primaries are wider.
        wide, narrow = pixels(red)[0, 0, 0].astype(int), pixels(plain)[0, 0, 0]
        assert wide[0] - wide[2] > narrow[0].astype(int) - narrow[2]
    assert hdr.conversion(int(ColorTrc.BT709), int(ColorPrimaries.BT709)) is None


def test_transparent_webm_shows_grey():
    frames = pixels(FAULTS / "alpha_vp9.webm")
    assert (frames[:, 4:-4, 4:40] == 128).all()
    assert (frames[:, :, 60:].std(axis=(0, 1, 2)) > 5).any()


def test_a_clip_cut_between_keyframes_is_read_and_what_is_lost_is_said(caplog):
    read = footage.read_footage(FAULTS / "cut_copy.mkv", fps=25, size=(64, 96))
    assert len(read.clip.pixels) == 49
    assert "its first 2 frames cannot be decoded and are left out" in caplog.text


@pytest.mark.parametrize("codec", ["libvpx-vp9", "libvpx"])
def test_a_codec_that_decodes_nothing_before_a_keyframe_begins_there(
    tmp_path, codec, caplog
):
    options = {"g": "6", "keyint_min": "6", "lag-in-frames": "0", "bf": "0"}
    packets = []
    with av.open(os.fspath(tmp_path / "whole.mkv"), "w") as container:
        stream = container.add_stream(codec, rate=8, options=options)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for number in range(18):
            image = np.full((32, 32, 3), 10 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = number
            packets += stream.encode(frame)
        packets += stream.encode()
        for packet in packets:
            container.mux(packet)
    with (
        av.open(os.fspath(tmp_path / "whole.mkv")) as whole,
        av.open(os.fspath(tmp_path / "cut.mkv"), "w") as cut,
    ):
        given = whole.streams.video[0]
        copied = cut.add_stream_from_template(given)
        for number, packet in enumerate(whole.demux(given)):
            if packet.size and number >= 3:
                packet.stream = copied
                cut.mux(packet)
    shown = pixels(tmp_path / "cut.mkv")
    assert len(shown) == 12
    np.testing.assert_allclose(shown[0], 60, atol=4)
    assert "its first 3 frames cannot be decoded" in caplog.text


def test_names_of_metadata_are_in_any_case(tmp_path):
    content = (FAULTS / "alpha_vp9.webm").read_bytes()
    path = tmp_path / "a.webm"
    path.write_bytes(content.replace(b"alpha_mode", b"ALPHA_MODE"))
    assert (pixels(path)[:, 4:-4, 4:40] == 128).all()


def test_an_animated_webp_is_a_video(tmp_path):
    frames = [np.full((8, 12, 3), 40 * i, np.uint8) for i in range(6)]
    images = [Image.fromarray(frame) for frame in frames]
    durations = [100, 200, 50, 100, 100, 50]
    path = tmp_path / "a.webp"
    images[0].save(
        path,
        save_all=True,
        append_images=images[1:],
        duration=durations,
        lossless=True,
    )
    shown = list(decoding.decode(path))
    np.testing.assert_array_equal([one.pixels() for one in shown], frames)
    np.testing.assert_allclose(
        [one.begin for one in shown], np.cumsum([0, *durations[:-1]]) / 1000
    )
    read = footage.read_footage(path, fps=20, size=(8, 12))
    assert len(read.clip.pixels) == 12  # 0.6 seconds
    with pytest.raises(ValueError, match="it has several frames.* is it a --video"):
        pictures.read_image(path)


def test_grey_of_more_than_eight_bits(tmp_path):
    ramp = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)
    Image.fromarray(ramp).save(tmp_path / "a.tif")
    image = pictures.read_image(tmp_path / "a.tif")[0]
    np.testing.assert_allclose(image, np.stack([ramp * 2 - 1] * 3, axis=-1), atol=1e-6)
    for wrong in (ramp * 2, ramp - 1, ramp * math.nan):
        Image.fromarray(wrong).save(tmp_path / "b.tif")
        with pytest.raises(ValueError, match="floats outside"):
            pictures.read_image(tmp_path / "b.tif")
    Image.fromarray((ramp * 1000).astype(np.int32)).save(tmp_path / "c.tif")
    with pytest.raises(ValueError, match="32-bit integers"):
        pictures.read_image(tmp_path / "c.tif")

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from sora_jax.data import decoding, encoders, outputs, pictures, video
from tests.helpers.clips import psnr, smooth_clip


class Stopped(BaseException):
    """Stands for a KeyboardInterrupt, which pytest takes for its own."""


@pytest.mark.parametrize("fps", [8, 24, 30000 / 1001, 12.5])
def test_mp4_round_trip_keeps_pixels_and_rate(tmp_path, fps):
    frames = smooth_clip()
    chunks = [frames[:1], video.to_uint8(frames[1:5]), frames[5:]]
    path = outputs.write(tmp_path / "clip.mp4", iter(chunks), fps)
    clip = decoding.read_video(path)
    assert clip.pixels.shape == frames.shape
    assert clip.fps == pytest.approx(fps, rel=1e-6)
    pixels = video.to_float(clip.pixels)
    assert psnr(pixels, frames) > 40
    assert min(psnr(pixels[..., c], frames[..., c]) for c in range(3)) > 38


def test_mp4_plays_in_browsers(tmp_path):
    path = outputs.write(tmp_path / "clip.mp4", [smooth_clip()], 8)
    with av.open(os.fspath(path)) as container:
        codec = container.streams.video[0].codec_context
        assert (codec.name, codec.pix_fmt) == ("h264", "yuv420p")
        assert (codec.colorspace, codec.color_primaries, codec.color_trc) == (1, 1, 1)
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("size", [(65, 47), (8, 8), (2, 3), (1, 1), (33, 130)])
def test_mp4_odd_and_small_sizes(tmp_path, size):
    frames = smooth_clip(3, *size)
    clip = decoding.read_video(outputs.write(tmp_path / "a.mp4", [frames], 8))
    assert clip.pixels.shape == (3, size[0] + size[0] % 2, size[1] + size[1] % 2, 3)


@pytest.mark.parametrize("suffix", list(encoders.ENCODERS))
def test_same_frames_same_bytes(tmp_path, suffix):
    # Seventeen smooth frames were what x264's macroblock tree stumbled over.
    frames = smooth_clip(17)
    paths = [outputs.write(tmp_path / f"a{suffix}", [frames], 8) for _ in range(8)]
    assert [path.stem for path in paths[:3]] == ["a", "a-1", "a-2"]
    assert len({path.read_bytes() for path in paths}) == 1


def test_gif_keeps_frames_and_time(tmp_path):
    frames = smooth_clip(9)
    path = outputs.write(tmp_path / "a.gif", [frames[:4], frames[4:]], 8)
    clip = decoding.read_video(path)
    assert clip.pixels.shape == frames.shape and clip.fps == pytest.approx(8)
    assert psnr(video.to_float(clip.pixels), frames) > 25
    with Image.open(path) as image:
        assert image.info["loop"] == 0
    # Rates that no small fraction gives exactly must not overflow FFmpeg's integers.
    outputs.write(tmp_path / "b.gif", [frames], 29.97)


def test_png_is_an_image_or_a_sheet(tmp_path):
    frames = video.to_uint8(smooth_clip(5, 10, 12))
    one = pictures.read_image(outputs.write(tmp_path / "one.png", [frames[:1]], 8))
    np.testing.assert_array_equal(video.to_uint8(one), frames[:1])
    sheet = pictures.read_image(outputs.write(tmp_path / "all.png", [frames], 8))[0]
    assert sheet.shape == (20, 36, 3)
    np.testing.assert_array_equal(video.to_uint8(sheet[10:, 12:24]), frames[4])


def test_npy_streams_float_in_unit_range(tmp_path):
    frames = smooth_clip(7)
    path = outputs.write(tmp_path / "a.npy", (frames[i : i + 2] for i in (0, 2, 4)), 8)
    array = np.load(path)
    assert array.dtype == np.float32 and array.shape == (6, 64, 64, 3)
    np.testing.assert_allclose(array, (frames[:6] + 1) / 2, atol=1e-6)
    from_bytes = outputs.write(tmp_path / "b.npy", [video.to_uint8(frames)], 8)
    np.testing.assert_allclose(np.load(from_bytes), (frames + 1) / 2, atol=1 / 254)


@pytest.mark.parametrize("suffix", list(encoders.ENCODERS))
@pytest.mark.parametrize("error", [Stopped, RuntimeError("model broke")])
def test_failing_source_leaves_nothing(tmp_path, suffix, error):
    def chunks():
        yield smooth_clip(5)
        raise error

    with pytest.raises(type(error) if isinstance(error, Exception) else error):
        outputs.write(tmp_path / f"clip{suffix}", chunks(), 8)
    assert not list(tmp_path.iterdir())


def test_appears_only_when_whole(tmp_path):
    seen = []

    def chunks():
        for _ in range(3):
            seen.append([path.name for path in tmp_path.iterdir()])
            yield smooth_clip(3)

    outputs.write(tmp_path / "clip.mp4", chunks(), 8)
    assert not any("clip.mp4" in names for names in seen)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_never_overwrites(tmp_path, monkeypatch):
    taken = tmp_path / "clip.png"
    taken.write_text("mine")
    (tmp_path / "clip-1.png.json").write_text("a sidecar alone keeps its name too")
    frames = [smooth_clip(1)]
    assert outputs.write(taken, frames, 8).name == "clip-2.png"

    link = os.link

    def snatch(source, free):
        # Somebody takes the name just before we do.
        if not (tmp_path / "clip-3.png").exists():
            (tmp_path / "clip-3.png").write_text("theirs")
        link(source, free)

    monkeypatch.setattr(os, "link", snatch)
    assert outputs.write(taken, frames, 8).name == "clip-4.png"
    assert taken.read_text() == "mine"
    assert (tmp_path / "clip-3.png").read_text() == "theirs"


def test_without_hard_links(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    names = [outputs.write(tmp_path / "a.npy", [smooth_clip(1)], 8) for _ in "ab"]
    assert [np.load(name).shape[0] for name in names] == [1, 1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-1.npy", "a.npy"]


def test_full_disk(tmp_path, monkeypatch):
    def fill(path, chunks, fps):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(encoders.ENCODERS, ".mp4", fill)
    with pytest.raises(OSError, match="path .*clip.mp4.* disk is full; free some"):
        outputs.write(tmp_path / "clip.mp4", [smooth_clip(1)], 8)
    assert not list(tmp_path.iterdir())


def test_sidecar(tmp_path):
    path = outputs.write(tmp_path / "clip.mp4", [smooth_clip(1)], 8)
    outputs.write_sidecar(path, {"prompt": "a 红 ball", "seed": 0})
    sidecar = outputs.write_sidecar(path, {"prompt": "a 红 ball", "seed": 1})
    assert sidecar.name == "clip.mp4.json" and json.loads(sidecar.read_text())["seed"]
    assert len(list(tmp_path.iterdir())) == 2


def test_check_output(tmp_path):
    target = outputs.check_output(tmp_path / "new" / "folder" / "clip.MP4")
    assert target.parent.is_dir() and not list(target.parent.iterdir())
    with pytest.raises(ValueError, match=r"--out 'clip.avi' must end in one of \.mp4"):
        outputs.check_output("clip.avi")
    with pytest.raises(ValueError, match="'no suffix'"):
        outputs.check_output("clip")
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        outputs.check_output(tmp_path / "folder.mp4")
    (tmp_path / "file").write_text("")
    for bad in (tmp_path / "file" / "clip.mp4", Path("/proc/nowhere/clip.mp4")):
        with pytest.raises(
            ValueError, match="--out .* cannot be written .*; give a folder"
        ):
            outputs.check_output(bad)


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([], "no frames"),
        ([np.zeros((1, 4, 4, 3)), np.zeros((1, 4, 6, 3))], "one size"),
        ([np.full((1, 4, 4, 3), np.nan)], "NaN"),
        ([np.zeros((4, 4, 3))], r"\[t h w 3\]"),
    ],
)
def test_useless_frames(tmp_path, chunks, message):
    with pytest.raises(ValueError, match=message):
        outputs.write(tmp_path / "a.mp4", chunks, 8)
    assert not list(tmp_path.iterdir())


def test_a_link_to_nowhere_is_a_taken_name(tmp_path):
    (tmp_path / "a.npy").symlink_to(tmp_path / "gone")
    path = outputs.write(tmp_path / "a.npy", [smooth_clip(1)], 8)
    assert path.name == "a-1.npy"


@pytest.mark.parametrize("suffix", list(encoders.ENCODERS))
def test_chunks_without_frames_are_no_video(tmp_path, suffix):
    with pytest.raises(ValueError, match="no frames"):
        outputs.write(tmp_path / f"a{suffix}", [smooth_clip(1)[:0]], 8)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("fps", [0.0, 1e-4, float("inf"), float("nan")])
def test_rates_that_no_format_can_tell_are_refused(tmp_path, fps):
    with pytest.raises(ValueError, match="--fps must be from"):
        outputs.write(tmp_path / "a.mp4", [smooth_clip(1)], fps)


def test_an_unknown_suffix_is_named(tmp_path):
    with pytest.raises(ValueError, match="must end in one of .mp4.*got '.avi'"):
        outputs.write(tmp_path / "a.avi", [smooth_clip(1)], 8)


def test_a_missing_folder_is_made(tmp_path):
    path = outputs.write(tmp_path / "new" / "a.npy", [smooth_clip(1)], 8)
    assert path.exists()


NAMES = ["12:30.mp4", "concat:a|b.mp4", "100%.mp4", "-.gif", "a b\n.gif", "红.npy"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_never_taken_for_an_address(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    outputs.check_output(name)
    path = outputs.write(name, [smooth_clip(2)], 8)
    assert os.listdir() == [name] and path.name == name


def test_a_name_that_is_not_utf_8_is_written_and_told(tmp_path):
    name = os.fsdecode(os.path.join(os.fsencode(tmp_path), b"\xff.npy"))
    path = outputs.write(name, [smooth_clip(1)], 8)
    sidecar = outputs.write_sidecar(path, {"video": [name]})
    assert json.loads(sidecar.read_bytes().decode("utf-8")) == {"video": [name]}
    with pytest.raises(ValueError, match=r"'\\udcff.avi' must end in"):
        outputs.check_output("\udcff.avi")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a" * 300 + ".mp4", "cannot be written .*too long"),
        ("a\0.mp4", "is not a valid path"),
        ("http://localhost/a.mp4", "is an unsupported URL"),
        ("gs://bucket/a.mp4", "needs the package gcsfs"),
    ],
)
def test_what_cannot_be_written_is_refused_before_work(tmp_path, name, message):
    with pytest.raises(ValueError, match=message):
        outputs.check_output(name if "://" in name else tmp_path / name)


@pytest.mark.parametrize("fps", [50, 60, 100, 1000])
def test_fast_gifs_last_as_long_as_they_should(tmp_path, fps):
    frames = np.arange(2 * fps, dtype=np.uint8)[:, None, None, None]
    frames = np.broadcast_to(frames, (2 * fps, 4, 4, 3))
    path = outputs.write(tmp_path / "a.gif", [frames], fps)
    with Image.open(path) as image:
        lengths = []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            lengths.append(image.info["duration"])
    assert min(lengths) >= 20 and sum(lengths) == 2000

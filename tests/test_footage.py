from __future__ import annotations

import math
import os
import tracemalloc
import weakref
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from sora_jax import host_memory
from sora_jax.data import decoding, footage, outputs, video
from tests.helpers.clips import (
    EXACT,
    needs_media,
    noise,
    numbered,
    numbers,
    psnr,
    smooth_clip,
    write,
)
from tests.helpers.paths import MEDIA


@pytest.mark.parametrize("suffix", list(EXACT))
def test_pixels_come_back_to_the_byte(tmp_path, suffix):
    frames = noise(5, 12, 18)
    read = footage.read_footage(
        write(tmp_path / f"a{suffix}", frames, 8), fps=8, size=(12, 18)
    )
    np.testing.assert_array_equal(read.clip.pixels, frames)
    assert (read.source_size, read.source_frames, read.clip.fps) == ((12, 18), 5, 8.0)


def test_what_was_written_as_an_array_is_read_frame_by_frame(tmp_path):
    clip = video.to_float(
        np.random.default_rng(0).integers(0, 256, (5, 8, 6, 3), np.uint8)
    )
    path = outputs.write(tmp_path / "clip.npy", [clip], fps=8)
    for fps in (8, 3.5):
        found = footage.read_footage(path, fps=fps, size=(8, 6))
        np.testing.assert_array_equal(video.to_float(found.clip.pixels), clip)
        assert found.clip.fps == fps and found.picks == (0, 1, 2, 3, 4)
    for wrong in (clip, np.zeros((5, 8, 6), np.float32), np.zeros((5, 8, 6, 3), int)):
        np.save(tmp_path / "wrong.npy", wrong)
        with pytest.raises(ValueError, match="must hold floats .t h w 3. in .0, 1."):
            footage.read_footage(tmp_path / "wrong.npy", fps=8, size=(8, 6))
    (tmp_path / "wrong.npy").write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="is no whole .npy file"):
        footage.read_footage(tmp_path / "wrong.npy", fps=8, size=(8, 6))
    (tmp_path / "wrong.npy").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(ValueError, match="is no whole .npy file"):
        footage.read_footage(tmp_path / "wrong.npy", fps=8, size=(8, 6))
    np.savez(tmp_path / "several.npz", a=clip)
    os.rename(tmp_path / "several.npz", tmp_path / "wrong.npy")
    with pytest.raises(ValueError, match="is no whole .npy file"):
        footage.read_footage(tmp_path / "wrong.npy", fps=8, size=(8, 6))


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_frames_are_fitted_as_pictures_are(tmp_path, fit):
    frames = noise(3, 21, 35)
    path = write(tmp_path / "a.mkv", frames, 8)
    read = footage.read_footage(path, fps=8, size=(16, 16), fit=fit)
    expected = video.to_uint8(video.fit(video.to_float(frames), 16, 16, fit))
    np.testing.assert_array_equal(read.clip.pixels, expected)
    Image.fromarray(frames[1]).save(tmp_path / "a.png")
    image = footage.read_image(tmp_path / "a.png", size=(16, 16), fit=fit)
    np.testing.assert_array_equal(image, video.to_float(read.clip.pixels[1:2]))


@pytest.mark.parametrize("suffix", list(EXACT))
@pytest.mark.parametrize(("source", "fps"), [(30, 8), (5, 8), (24, 30), (30, 12.5)])
def test_each_frame_is_the_one_on_the_screen(tmp_path, suffix, source, fps):
    path = write(tmp_path / f"a{suffix}", numbered(20), source)
    read = footage.read_footage(path, fps=fps, size=(6, 10))
    count = round(20 / source * fps)
    expected = [math.floor(Fraction(i * source) / Fraction(fps)) for i in range(count)]
    assert numbers(read.clip.pixels) == list(read.picks) == expected
    assert read.source_seconds == pytest.approx(20 / source, abs=1e-3)


@pytest.mark.parametrize("fps", [8, 15, 24, 30])
@pytest.mark.parametrize("suffix", [".mp4", ".gif", *EXACT])
def test_the_same_rate_changes_nothing(tmp_path, suffix, fps):
    # Matroska rounds times to thousandths of a second, GIF to hundredths.
    path = tmp_path / f"a{suffix}"
    if suffix in EXACT:
        write(path, numbered(17), fps)
    else:
        outputs.write(path, [numbered(17)], fps)
    read = footage.read_footage(path, fps=fps, size=(6, 10))
    assert read.picks == tuple(range(17))


@pytest.mark.parametrize("suffix", [".mkv", ".mov"])
def test_variable_rates(tmp_path, suffix):
    times = [0, 1, 2, 12, 13, 24]
    path = write(tmp_path / f"a{suffix}", numbered(6), 24, times=times)
    read = footage.read_footage(path, fps=12, size=(6, 10))
    # At 0, 2, 4, ... 24 of 25 twenty-fourths.
    assert read.picks == (0, 2, 2, 2, 2, 2, 3, 4, 4, 4, 4, 4)


def test_times_that_go_back_or_are_missing(tmp_path):
    raw = b""
    for name in ("a.ts", "b.h264"):
        with av.open(os.fspath(tmp_path / name), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.height, stream.width, stream.pix_fmt = 16, 16, "yuv420p"
            for image in noise(10, 16, 16):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        raw = (tmp_path / name).read_bytes()
        # The second half begins at the time of the first.
        (tmp_path / name).write_bytes(raw + raw)
        read = footage.read_footage(tmp_path / name, fps=25, size=(16, 16))
        assert read.picks == tuple(range(20))


def test_one_frame_is_a_video(tmp_path):
    path = write(tmp_path / "a.mov", numbered(1), 30)
    assert footage.read_footage(path, fps=8, size=(6, 10)).picks == (0,)


@pytest.mark.parametrize(("turn", "size"), [(0, (20, 45)), (90, (45, 20))])
def test_the_screen_shows_it_upright_and_in_its_aspect(tmp_path, turn, size):
    frames = video.to_uint8(smooth_clip(2, 20, 30))
    aspect = Fraction(3, 2)
    path = write(tmp_path / "a.mov", frames, 8, aspect=aspect, turn=turn)
    read = footage.read_footage(path, fps=8, size=(15, 15))
    assert read.source_size == size
    shown = video.fit(video.to_float(frames), 20, 45, "stretch")
    expected = video.fit(np.rot90(shown, turn // 90, axes=(1, 2)), 15, 15)
    assert psnr(video.to_float(read.clip.pixels), expected) > 35
    assert decoding.read_video(path).pixels.shape == (2, *size, 3)


def test_transparency_shows_grey(tmp_path):
    frames = noise(2, 6, 8, 4)
    frames[..., 3] = np.where(np.arange(8) < 4, 0, 255)
    path = write(tmp_path / "a.mov", frames, 8, pixels="rgba")
    pixels = footage.read_footage(path, fps=8, size=(6, 8)).clip.pixels
    assert (pixels[:, :, :4] == 128).all()
    np.testing.assert_array_equal(pixels[:, :, 4:], frames[:, :, 4:, :3])


def test_frames_do_not_pile_up(tmp_path, monkeypatch):
    peaks, alive, most, decode = {}, [], 0, decoding.decode

    def counted(*args, **kwargs):
        nonlocal most
        for shown in decode(*args, **kwargs):
            alive.append(weakref.ref(shown))
            most = max(most, sum(one() is not None for one in alive))
            yield shown

    monkeypatch.setattr(decoding, "decode", counted)
    for count in (4, 4, 32):  # the first one imports
        path = write(tmp_path / f"{count}.mkv", numbered(count, 160, 240))
        tracemalloc.start()
        footage.read_footage(path, fps=30, size=(16, 24))
        peaks[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    # One waits until the next tells how long it was on the screen.
    assert most <= 3
    picture, small = 160 * 240 * 3, 16 * 24 * 3 * footage.BYTES
    assert peaks[32] - peaks[4] < 28 * small + picture


def test_what_memory_does_not_hold_is_refused_on_the_way(tmp_path, monkeypatch):
    path = write(tmp_path / "a.mkv", numbered(40), 8)
    frame = 6 * 10 * 3 * footage.BYTES
    monkeypatch.setattr(host_memory, "in_container", lambda: 4 * 16.5 * frame)
    with pytest.raises(
        ValueError, match="too long: at most 16 frames .2 sec.*ffmpeg -i"
    ):
        footage.read_footage(path, fps=8, size=(6, 10))
    assert len(footage.read_footage(path, fps=3, size=(6, 10)).picks) == 15


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".gif", ".bmp"])
def test_pictures_are_no_videos(tmp_path, suffix):
    Image.fromarray(noise(1, 8, 8)[0]).save(tmp_path / f"a{suffix}")
    with pytest.raises(ValueError, match="--clip .* is a picture.* give it as --image"):
        footage.read_footage(
            tmp_path / f"a{suffix}", fps=8, size=(8, 8), field="--clip"
        )


def test_a_gif_whose_frames_are_all_equal_is_a_video_of_their_length(tmp_path):
    still = np.repeat(noise(1, 8, 8), 12, axis=0)
    path = outputs.write(tmp_path / "a.gif", [still], 8)
    with Image.open(path) as image:
        assert getattr(image, "n_frames", 1) == 1
    found = footage.read_footage(path, fps=8, size=(8, 8))
    assert found.clip.pixels.shape == (12, 8, 8, 3)
    assert found.source_seconds == 1.5
    np.testing.assert_array_equal(
        found.clip.pixels, found.clip.pixels[:1].repeat(12, 0)
    )
    # It may still be given as a picture.
    assert footage.read_image(path, size=(8, 8)).shape == (1, 8, 8, 3)


def test_bad_videos(tmp_path):
    def read(name: str):
        return footage.read_footage(tmp_path / name, fps=8, size=(8, 8))

    with pytest.raises(ValueError, match="--video .*missing.mp4' does not exist"):
        read("missing.mp4")
    with pytest.raises(ValueError, match="is a folder"):
        read("")
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(ValueError, match="text.mp4.* at its start"):
        read("text.mp4")
    with pytest.raises(ValueError, match="--fps must be from .* got 0"):
        footage.read_footage(write(tmp_path / "a.mkv", numbered(2)), fps=0, size=(8, 8))
    data = outputs.write(tmp_path / "a.mp4", [noise(24, 32, 32)], 8).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"after \d+ good frames: .* of its 3 seconds"):
        read("cut.mp4")


@needs_media
@pytest.mark.parametrize(("turn", "quarters"), [(0, 0), (90, 3), (180, 2), (270, 1)])
def test_real_clips_stand_upright(turn, quarters):
    # `quarters` makes the keyboard in these clips stand upright.
    path = MEDIA / f"awkward/video_{turn}.mov"
    with av.open(os.fspath(path)) as container:
        stored = next(container.decode(video=0)).to_ndarray(format="rgb24")
    upright = video.to_float(np.rot90(stored, quarters))[None]
    read = footage.read_footage(path, fps=30, size=(64, 64))
    assert read.source_size == upright.shape[1:3]
    first = video.to_float(read.clip.pixels[:1])
    assert psnr(first, video.fit(upright, 64, 64)) > 35


@needs_media
def test_real_clips_that_are_awkward():
    unordered = MEDIA / "awkward/unordered.mov"
    assert footage.read_footage(unordered, fps=32, size=(50, 50)).picks == (0, 1, 2, 3)
    with pytest.raises(ValueError, match="corrupted.mp4.* after 28 good frames"):
        footage.read_footage(MEDIA / "awkward/corrupted.mp4", fps=10, size=(36, 64))
    pancake = footage.read_footage(MEDIA / "pancake.mkv", fps=10, size=(24, 42))
    assert pancake.picks == tuple(range(0, 309, 3))
    wrestling = footage.read_footage(MEDIA / "arm_wrestling.mp4", fps=8, size=(64, 96))
    assert wrestling.source_size == (256, 427)
    assert wrestling.picks == tuple(math.floor(i * 3.5) for i in range(80))

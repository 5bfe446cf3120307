from __future__ import annotations

import os
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from sora_jax.data import decoding, outputs, pictures, video
from tests.helpers.clips import needs_media, psnr, smooth_clip
from tests.helpers.paths import MEDIA


def write_still(path: Path, **options) -> np.ndarray:
    pixels = video.to_uint8(smooth_clip(1, 24, 40))[0]
    Image.fromarray(pixels).save(path, **options)
    return pixels


def test_bytes_survive_the_float_range():
    every = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(video.to_uint8(video.to_float(every)), every)


def test_image_turned_by_exif(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown a quarter turn clockwise
    pixels = write_still(tmp_path / "a.png", exif=exif)
    image = pictures.read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(video.to_uint8(image)[0], np.rot90(pixels, -1))


def test_transparency_shows_grey(tmp_path):
    pixels = np.full((4, 4, 4), 255, np.uint8)
    pixels[:2, :, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = pictures.read_image(tmp_path / "a.png")
    assert image[0, 0, 0].tolist() == [0, 0, 0]
    assert image[0, 3, 0].tolist() == [1, 1, 1]


def test_sixteen_bits_are_scaled(tmp_path):
    ramp = np.linspace(0, 65535, 16).astype(np.uint16).reshape(4, 4)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    image = pictures.read_image(tmp_path / "a.png")[0, ..., 0]
    np.testing.assert_allclose(image, np.linspace(-1, 1, 16).reshape(4, 4), atol=1e-4)


def test_one_grey_of_sixteen_bits_may_be_transparent(tmp_path):
    grey = np.array([[0, 1000, 65535]], np.uint16)
    image = Image.fromarray(grey)
    image.save(tmp_path / "a.png", transparency=1000)
    shown = pictures.read_image(tmp_path / "a.png")[0, 0, :, 0]
    np.testing.assert_allclose(shown, [-1, 0, 1], atol=1e-4)


def test_bad_images(tmp_path):
    with pytest.raises(ValueError, match="--image .*missing.png' does not exist"):
        pictures.read_image(tmp_path / "missing.png")
    with pytest.raises(ValueError, match="is a folder"):
        pictures.read_image(tmp_path)
    write_still(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.png").write_text("not a picture")
    for name in ("cut.jpg", "text.png"):
        with pytest.raises(ValueError, match=f"--image .*{name}.*save it again"):
            pictures.read_image(tmp_path / name)


def test_an_animation_is_no_image(tmp_path):
    outputs.write(tmp_path / "a.gif", [smooth_clip(5)], 8)
    with pytest.raises(ValueError, match="--image .*a.gif.* several frames"):
        pictures.read_image(tmp_path / "a.gif")
    outputs.write(tmp_path / "b.gif", [smooth_clip(1)], 8)
    assert pictures.read_image(tmp_path / "b.gif").shape[0] == 1
    pages = [Image.fromarray(page) for page in video.to_uint8(smooth_clip(2))]
    pages[0].save(tmp_path / "c.tiff", save_all=True, append_images=pages[1:])
    assert pictures.is_still(tmp_path / "c.tiff")
    assert pictures.read_image(tmp_path / "c.tiff").shape[0] == 1


def test_bad_videos(tmp_path):
    with pytest.raises(ValueError, match="--video .*missing.mp4' does not exist"):
        decoding.read_video(tmp_path / "missing.mp4")
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(ValueError, match="--mask .*text.mp4.* at its start"):
        decoding.read_video(tmp_path / "text.mp4", field="--mask")
    with av.open(os.fspath(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(ValueError, match="no video stream"):
        decoding.read_video(tmp_path / "sound.mp4")


@pytest.mark.parametrize("how", ["crop", "pad", "stretch"])
def test_fit_gives_the_size_and_keeps_smooth_content(how):
    frames = smooth_clip(2, 64, 96)
    assert video.fit(frames, 30, 50, how).shape == (2, 30, 50, 3)
    assert video.fit(frames, 64, 96, how) is frames
    there_and_back = video.fit(video.fit(frames, 128, 192, how), 64, 96, how)
    assert psnr(there_and_back, frames) > 45


def test_fit_crops_the_middle_and_pads_with_grey():
    frames = smooth_clip(1, 32, 64)
    np.testing.assert_allclose(
        video.fit(frames, 32, 32, "crop"), frames[:, :, 16:48], atol=1e-6
    )
    padded = video.fit(frames, 64, 64, "pad")
    np.testing.assert_allclose(padded[:, 16:48], frames, atol=1e-6)
    assert not padded[:, :16].any() and not padded[:, 48:].any()


def test_fit_is_antialiased():
    stripes = np.tile(np.array([-1, 1], np.float32), 32)
    frames = np.broadcast_to(stripes[None, None, :, None], (1, 64, 64, 3))
    assert np.abs(video.fit(frames, 16, 16, "stretch")[:, 2:-2, 2:-2]).max() < 0.1


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_rotation_flag_is_obeyed(tmp_path, turn):
    frames = smooth_clip(3, 32, 64)
    path = outputs.write(tmp_path / "a.mp4", [frames], 8)
    data = bytearray(path.read_bytes())
    # The track header's matrix, as a camera writes it that was held on its side.
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[turn]
    matrix = (cos, sin, 0, -sin, cos, 0, 0, 0)
    start = data.index(b"tkhd") + 44
    data[start : start + 36] = struct.pack(">9i", *(m << 16 for m in matrix), 1 << 30)
    path.write_bytes(data)
    clip = decoding.read_video(path)
    clockwise = np.rot90(frames, -turn // 90, axes=(1, 2))
    assert clip.pixels.shape == clockwise.shape
    assert psnr(video.to_float(clip.pixels), clockwise) > 35


def test_pixels_that_are_not_square_are_stretched(tmp_path):
    with av.open(os.fspath(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = 40, 30, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(3, 2)
        for pixels in video.to_uint8(smooth_clip(3, 30, 40)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    clip = decoding.read_video(tmp_path / "a.mp4")
    assert clip.pixels.shape == (3, 30, 60, 3)


@needs_media
@pytest.mark.parametrize(
    ("name", "shape", "fps"),
    [
        # Stored 340 wide, in pixels of 64:51.
        ("arm_wrestling.mp4", (12, 256, 427, 3), 28),
        ("pancake.mkv", (12, 240, 426, 3), 30),
        ("horse.mp4", (12, 480, 720, 3), 8),
        ("awkward/unordered.mov", (4, 50, 50, 3), 32),
    ],
)
def test_real_clips(name, shape, fps):
    clip = decoding.read_video(MEDIA / name, max_frames=12)
    assert clip.pixels.shape == shape and clip.fps == fps
    assert clip.pixels.dtype == np.uint8


@needs_media
@pytest.mark.parametrize(("turn", "quarters"), [(0, 0), (90, 3), (180, 2), (270, 1)])
def test_rotation_flags(turn, quarters):
    # `quarters` makes the keyboard in these clips stand upright.
    path = MEDIA / f"awkward/video_{turn}.mov"
    with av.open(os.fspath(path)) as container:
        stored = next(container.decode(video=0)).to_ndarray(format="rgb24")
    clip = decoding.read_video(path)
    expected = np.rot90(video.to_float(stored), quarters)
    assert clip.pixels.shape[1:] == expected.shape
    assert psnr(video.to_float(clip.pixels[0]), expected) > 30


@needs_media
def test_corrupt_clip_names_the_frame():
    with pytest.raises(ValueError, match="corrupted.mp4.* after 28 good frames"):
        decoding.read_video(MEDIA / "awkward/corrupted.mp4")

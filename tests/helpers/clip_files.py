"""Clip files of every kind, and folders of them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from sora_jax.data import animations, outputs
from tests.helpers.clips import smooth_clip, write

FRAMES, HEIGHT, WIDTH, FPS = 9, 48, 64, 8


def rgb() -> np.ndarray:
    values = smooth_clip(FRAMES, HEIGHT, WIDTH)
    return np.rint((values + 1) * 127.5).astype(np.uint8)


def rgba() -> np.ndarray:
    """The same, transparent on its left half."""
    alpha = np.zeros((FRAMES, HEIGHT, WIDTH, 1), np.uint8)
    alpha[:, :, WIDTH // 2 :] = 255
    return np.concatenate([rgb(), alpha], axis=3)


def _mp4(path: Path) -> None:
    outputs.write(path, [rgb()], FPS)


def _exact(path: Path) -> None:
    write(path, rgb(), FPS)


def _webm(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuva420p"
        stream.options = {"crf": "10", "cpu-used": "8"}
        for number, pixels in enumerate(rgba()):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgba")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _apng(path: Path) -> None:
    first, *others = (Image.fromarray(pixels) for pixels in rgba())
    options = dict(save_all=True, append_images=others, duration=1000 // FPS, loop=0)
    first.save(path, "PNG", **options)


def _webp(path: Path) -> None:
    with path.open("wb") as file:
        animations.write_animation(file, rgba(), FPS, "WEBP", quality=95)


def _still(path: Path) -> None:
    Image.fromarray(rgb()[0]).save(path)


def _still_with_alpha(path: Path) -> None:
    Image.fromarray(rgba()[0]).save(path)


# Name -> (writes it, whether it has alpha, its frames).
KINDS = {
    "video.mp4": (_mp4, False, FRAMES),
    "video.mov": (_exact, False, FRAMES),
    "video.avi": (_exact, False, FRAMES),
    "video.mkv": (_exact, False, FRAMES),
    "alpha.webm": (_webm, True, FRAMES),
    "animation.gif": (_mp4, False, FRAMES),
    "animation.apng": (_apng, True, FRAMES),
    "animation.png": (_apng, True, FRAMES),
    "animation.webp": (_webp, True, FRAMES),
    "still.jpg": (_still, False, 1),
    "still.png": (_still_with_alpha, True, 1),
    "still.webp": (_still_with_alpha, True, 1),
    "UPPER.PNG": (_still, False, 1),
}


def write_kinds(folder: Path) -> Path:
    """Write a file of every kind, with captions beside some."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (make, _, _) in KINDS.items():
        make(folder / name)
    (folder / "video.txt").write_text("waves\nwaves of colour\n")
    (folder / "alpha.txt").write_text("half a picture")
    return folder


def mp4(frames: int = FRAMES) -> bytes:
    from sora_jax.data import encoders

    return encoders.mp4_bytes([rgb()[:frames]], FPS)


def write_tar(path: Path, members: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def texts(store):
    return {
        clip.stored.name: [text for c in clip.stored.spec.captions for text in c.texts]
        for clip in store.clips
    }

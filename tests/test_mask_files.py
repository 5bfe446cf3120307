"""Masks in files: pictures that serve every frame, and videos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sora_jax.data import footage, mask_files
from tests.helpers.clips import noise, numbered, write


def paint(path: Path, height: int, width: int, rows: slice) -> Path:
    mask = np.zeros((height, width), np.uint8)
    mask[rows] = 255
    Image.fromarray(mask).save(path)
    return path


def test_a_picture_masks_every_frame(tmp_path):
    how = {"fps": 8, "size": (12, 18)}
    clip = footage.read_footage(write(tmp_path / "a.mkv", noise(5, 24, 36), 8), **how)
    path = paint(tmp_path / "a.png", 24, 36, slice(0, 8))
    mask = mask_files.read_mask(path, clip, **how)
    assert mask.shape == (5, 12, 18) and mask.dtype == np.float32
    assert (mask[:, :4] == 0).all() and (mask[:, 4:] == 1).all()
    everything = paint(tmp_path / "all.png", 24, 36, slice(None))
    assert not mask_files.read_mask(everything, clip, **how).any()


def test_bars_are_known(tmp_path):
    how = {"fps": 8, "size": (16, 16), "fit": "pad"}
    clip = footage.read_footage(write(tmp_path / "a.mkv", noise(2, 12, 24), 8), **how)
    path = paint(tmp_path / "a.png", 12, 24, slice(None))
    mask = mask_files.read_mask(path, clip, **how)
    assert (mask[:, 4:12] == 0).all()
    assert (mask[:, :4] == 1).all() and (mask[:, 12:] == 1).all()


def moving_mask(path: Path, count: int, fps: int, size: tuple[int, int] = (6, 10)):
    """Frame k is white where its binary digits are ones."""
    columns = np.arange(size[1])
    frames = (np.arange(count)[:, None] >> columns & 1).astype(np.uint8) * 255
    shape = (count, size[0], size[1], 3)
    return write(path, np.broadcast_to(frames[:, None, :, None], shape), fps)


def masked(mask: np.ndarray) -> list[int]:
    return ((1 - mask[:, 0]) @ 2.0 ** np.arange(mask.shape[2])).astype(int).tolist()


def test_a_video_masks_frame_by_frame_or_by_time(tmp_path):
    how = {"fps": 8, "size": (6, 10)}
    clip = footage.read_footage(write(tmp_path / "a.mkv", numbered(30), 30), **how)
    same = moving_mask(tmp_path / "same.mkv", 30, 30)
    assert masked(mask_files.read_mask(same, clip, **how)) == list(clip.picks)
    as_many = moving_mask(tmp_path / "many.mov", 30, 24)
    assert masked(mask_files.read_mask(as_many, clip, **how)) == list(clip.picks)
    as_long = moving_mask(tmp_path / "long.mkv", 8, 8)
    assert masked(mask_files.read_mask(as_long, clip, **how)) == list(range(8))
    a_bit_short = moving_mask(tmp_path / "short.mkv", 7, 8)
    expected = [*range(7), 6]
    assert masked(mask_files.read_mask(a_bit_short, clip, **how)) == expected


def test_bad_masks(tmp_path):
    how = {"fps": 8, "size": (6, 10)}
    clip = footage.read_footage(write(tmp_path / "a.mkv", numbered(30), 30), **how)

    def refused(path: Path, message: str):
        with pytest.raises(ValueError, match=message):
            mask_files.read_mask(path, clip, **how, field="--hole")

    refused(
        paint(tmp_path / "large.png", 12, 20, slice(None)),
        "--hole .*large.png' is 20x12, and the video 10x6: make the mask as large",
    )
    refused(
        moving_mask(tmp_path / "large.mkv", 30, 30, (12, 20)),
        "--hole .*large.mkv' is 20x12, and the video 10x6",
    )
    refused(
        moving_mask(tmp_path / "short.mkv", 15, 30),
        "short.mkv' has 15 frames in 0.5 seconds, and the video 30 in 1: give as many",
    )
    refused(
        paint(tmp_path / "black.png", 6, 10, slice(0)), "no white .* paint .* white"
    )
    refused(
        write(tmp_path / "black.mkv", numbered(30), 30), "no white .* paint .* white"
    )
    refused(tmp_path / "none.png", "does not exist")
    (tmp_path / "text.png").write_text("not a picture")
    refused(tmp_path / "text.png", "cannot be read")

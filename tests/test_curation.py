"""What is found in files: shots, borders, stills, loops, scores, copies."""

import weakref
from fractions import Fraction
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from PIL import Image

from sora_jax import hashes
from sora_jax.data import outputs
from sora_jax.data.curation import file_shots, measures
from sora_jax.data.curation.file_shots import curate_file
from sora_jax.data.curation.frames import file_frames, shot_frames
from sora_jax.data.curation.samples import EvenSamples, at_shares
from sora_jax.data.curation.shots import Box, UnreadableFile
from tests.helpers.clips import needs_media, write
from tests.helpers.curated import mp4, real_frames, shot_of, shots_of
from tests.helpers.paths import FAULTS
from tests.helpers.textures import blurred, moving, texture


def test_cuts_are_found_at_their_frames(tmp_path):
    parts = [moving(seed, frames) for seed, frames in ((0, 30), (1, 17), (2, 25))]
    found = shots_of(tmp_path / "joined.mkv", np.concatenate(parts))
    assert [(x.start_frame, x.stop_frame) for x in found] == [
        (0, 30),
        (30, 47),
        (47, 72),
    ]
    assert [x.id for x in found] == [f"joined.mkv#{i}" for i in range(3)]
    assert all(one.stop_seconds == two.start_seconds for one, two in pairwise(found))
    assert found[-1].stop_seconds == pytest.approx(3, abs=0.01)
    lengths = [x.scores.duration for x in found]
    assert lengths == pytest.approx([30 / 24, 17 / 24, 25 / 24], abs=0.01)


def test_memory_holds_one_shot_at_a_time(tmp_path, monkeypatch):
    alive, most = weakref.WeakSet(), []

    class Watched(file_shots.ShotMeter):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            alive.add(self)
            most.append(len(alive))

    monkeypatch.setattr(file_shots, "ShotMeter", Watched)
    parts = [np.repeat(texture(seed)[None], 14, axis=0) for seed in range(8)]
    assert len(shots_of(tmp_path / "a.mkv", np.concatenate(parts))) == 8
    assert len(most) == 8 and max(most) <= 2


@needs_media
def test_cuts_between_real_clips_are_found(tmp_path):
    parts = []
    for name in ("horse.mp4", "pancake.mkv", "generated_1.mp4"):
        parts.append(real_frames(name, 20, (160, 96)))
    found = shots_of(tmp_path / "joined.mkv", np.concatenate(parts))
    assert [x.start_frame for x in found] == [0, 20, 40]


@pytest.mark.parametrize("borders", [(8, 8, 0, 0), (0, 0, 12, 12), (5, 9, 7, 3)])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_black_borders_are_cropped_exactly(tmp_path, borders, suffix):
    top, bottom, left, right = borders
    around = ((0, 0), (top, bottom), (left, right), (0, 0))
    bright = np.maximum(moving(3), 90)
    frames = np.pad(bright, around)
    path = tmp_path / f"bars{suffix}"
    shot = shot_of(path, frames) if suffix == ".mkv" else mp4(path, frames)
    height, width = frames.shape[1:3]
    inside = Box(
        top=top, left=left, height=height - top - bottom, width=width - left - right
    )
    even = (-height % 2, -width % 2)  # what H.264 needs is repeated
    assert (shot.height, shot.width) == (height + even[0], width + even[1])
    assert shot.crop == inside and shot.has_borders
    # They count in no score.
    bare = shot_of(tmp_path / "bare.mkv", bright)
    for name in ("motion", "exposure", "contrast"):
        cropped, whole = getattr(shot.scores, name), getattr(bare.scores, name)
        assert cropped == pytest.approx(whole, rel=0.15), name
    (shown,) = shot_frames(path, [shot], 3, short_side=64)
    assert shown.min() > 40


def test_a_dark_scene_has_no_borders(tmp_path):
    frames = np.zeros((12, 64, 96, 3), np.uint8)
    black = shot_of(tmp_path / "black.mkv", frames)
    for index in range(12):
        frames[index, 20:30, 5 * index : 5 * index + 10] = 200
    ball = shot_of(tmp_path / "ball.mkv", frames)
    assert not black.has_borders and not ball.has_borders
    assert black.is_still and black.scores.clipped == 1


def test_borders_of_frames_with_oblong_pixels_are_told_as_displayed(tmp_path):
    frames = np.pad(np.maximum(moving(3), 90), ((0, 0), (0, 0), (8, 8), (0, 0)))
    path = write(tmp_path / "wide.mov", frames, 24, aspect=Fraction(2))
    (shot,) = curate_file(path, "wide.mov")
    assert (shot.height, shot.width) == (64, 224)
    assert shot.crop == Box(top=0, left=16, height=64, width=192)


def test_stills_and_loops_are_told(tmp_path):
    still = np.repeat(texture(4)[None], 24, axis=0)
    # A whole turn: the frame after the last one would be the first one.
    cases = {
        "still": (mp4(tmp_path / "still.mp4", still), True, False),
        "once": (mp4(tmp_path / "once.mp4", moving(4, 24, 2)), False, False),
        "loop": (mp4(tmp_path / "loop.mp4", moving(4, 24, 4)), False, True),
        "twice": (mp4(tmp_path / "twice.mp4", moving(4, 48, 4)), False, True),
    }
    for name, (shot, is_still, is_loop) in cases.items():
        assert (shot.is_still, shot.is_loop) == (is_still, is_loop), name
    noise = np.random.default_rng(0).integers(0, 256, (24, 64, 96, 3), np.uint8)
    assert not shot_of(tmp_path / "noise.mkv", noise).is_loop
    blink = still.copy()
    blink[10:13, 30:34, 40:46] //= 3
    assert not mp4(tmp_path / "blink.mp4", blink).is_still


def test_sharpness_falls_with_blur(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (5, 64, 96, 3), np.uint8)
    found = [
        shot_of(tmp_path / f"{factor}.mkv", blurred(frames, factor)).scores.sharpness
        for factor in (1, 2, 4, 8)
    ]
    assert all(one > 1.5 * two for one, two in pairwise(found)), found


def test_motion_grows_with_speed_and_not_with_the_frame_rate(tmp_path):
    found = [
        shot_of(tmp_path / f"{speed}.mkv", moving(5, 24, speed)).scores.motion
        for speed in (0, 1, 2, 4)
    ]
    assert found[0] == 0
    assert all(two > 1.5 * one for one, two in pairwise(found[1:])), found
    half = shot_of(tmp_path / "12fps.mkv", moving(5, 12, 2), fps=12).scores.motion
    assert half == pytest.approx(found[1], rel=0.1)


def test_exposure_contrast_and_clipping_are_what_they_say(tmp_path):
    frames = np.zeros((5, 32, 32, 3), np.uint8)
    frames[:, :, 16:] = 255
    scores = shot_of(tmp_path / "halves.mkv", frames).scores
    # No border, though one half is black: it would take more than that to be one.
    assert scores.exposure in (pytest.approx(0.5), pytest.approx(1))
    grey = shot_of(tmp_path / "grey.mkv", np.full_like(frames, 128)).scores
    assert grey.exposure == pytest.approx(128 / 255, abs=0.01)
    assert grey.contrast == grey.clipped == grey.sharpness == 0


def test_pictures_are_shots_of_one_frame(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(texture(6)).save(path)
    (shot,) = curate_file(path, "sub/a.png")
    assert (shot.id, shot.frames, shot.fps) == ("sub/a.png", 1, 0)
    assert shot.is_still and not shot.is_loop
    assert shot.scores.duration == shot.scores.motion == 0 < shot.scores.contrast
    frames, fps = file_frames(path, 8, short_side=32)
    assert frames.shape == (1, 32, 48, 3) and fps == 0


@pytest.mark.parametrize(
    "name, reason",
    [
        ("gap1e8.mkv", "after 1 good frames"),
        ("eps.png", "cannot be read as a video"),
        ("empty.mp4", "cannot be read as a video"),
        ("text.mov", "cannot be read as a video"),
        ("half.png", "cannot be read as an image"),
        ("none.mp4", "does not exist"),
    ],
)
def test_a_bad_file_is_listed_with_its_reason(tmp_path, name, reason):
    Image.fromarray(texture(0)).save(tmp_path / "whole.png")
    made = {
        "empty.mp4": b"",
        "text.mov": b"no video\n",
        "half.png": (tmp_path / "whole.png").read_bytes()[:2000],
    }
    path = tmp_path / name
    if name in made:
        path.write_bytes(made[name])
    elif (FAULTS / name).exists():
        path = FAULTS / name
    (line,) = curate_file(path, f"in/{name}")
    assert isinstance(line, UnreadableFile) and line.file == f"in/{name}"
    assert reason in line.error and str(path) not in line.error
    assert line.hash == (hashes.of_file(path) if path.exists() else "")


def test_a_file_cut_off_in_the_middle_has_no_shots(tmp_path):
    path = tmp_path / "a.mp4"
    outputs.write(path, [moving(0, 48)], 24)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    (line,) = curate_file(path, "a.mp4")
    assert isinstance(line, UnreadableFile) and "cannot be read" in line.error


def test_samples_are_even():
    for count in (1, 2, 7, 8, 9, 16, 17, 1000):
        samples = EvenSamples[int](8)
        for number in range(count):
            samples.add(lambda at=number: at)
        steps = {two - one for one, two in pairwise(samples.items)}
        assert len(steps) <= 1 and samples.items[0] == 0
        assert min(count, 8) / 2 <= len(samples.items) <= 8
    assert at_shares(range(8), 4) == [1, 3, 5, 7] and at_shares([5], 3) == [5] * 3


def test_a_crop_of_another_size_is_inside():
    crop = Box(top=3, left=0, height=5, width=9)
    assert measures.scaled(crop, (10, 9), (10, 9)) == crop
    half = measures.scaled(crop, (10, 9), (5, 5))
    assert half == Box(top=2, left=0, height=2, width=5)
    tiny = measures.scaled(crop, (10, 9), (1, 1))
    assert tiny == Box(top=0, left=0, height=1, width=1)


def test_frames_of_shots_are_of_their_middles(tmp_path):
    frames = np.concatenate([moving(0, 24), moving(1, 24)])
    path = write(tmp_path / "a.mkv", frames, 24)
    shots = curate_file(path, "a.mkv")
    one, two = shot_frames(path, shots, 4, short_side=64)
    np.testing.assert_array_equal(one, frames[[3, 9, 15, 21]])
    np.testing.assert_array_equal(two, frames[[27, 33, 39, 45]])
    later = msgspec.structs.replace(shots[1], stop_frame=99)
    with pytest.raises(ValueError, match="fewer frames than when it was curated"):
        list(shot_frames(path, [later], 4, short_side=64))

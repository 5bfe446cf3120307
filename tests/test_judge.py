"""The judge must be right on true videos, forwards, backwards and mirrored."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from sora_jax.evals.case import Finding
from sora_jax.worlds.playground.judge import facts
from sora_jax.worlds.playground.judge.observation import Observation, observe
from tests.helpers.judged import (
    CLIPS,
    SHORT,
    SINGLE,
    first_single,
    judged,
    observed,
    sample,
)


def shares(findings: list[Finding]) -> dict[str, float]:
    return {
        fact: float(
            np.mean([v.is_right is True for v in findings if v.measure == fact])
        )
        for fact in {found.measure for found in findings}
    }


def seen(pixels: np.ndarray) -> Observation:
    observations = observe(np.ascontiguousarray(pixels), SINGLE.fps)
    assert len(observations) == 1
    return observations[0]


def degraded(pixels: np.ndarray, seed: int) -> np.ndarray:
    """Blur, add noise and round to bytes, as a stand-in for a VAE."""
    rng = np.random.default_rng(seed)
    soft = ndimage.gaussian_filter(pixels, (0.0, 1.0, 1.0, 0.0))
    noisy = soft + rng.normal(0.0, 0.04, pixels.shape)
    return (np.clip(np.round((noisy + 1) * 127.5), 0, 255) / 127.5 - 1).astype("f4")


def test_true_videos_are_read_right_in_every_fact():
    findings = [v for i in range(CLIPS) for v in judged(observed(i), sample(i))]
    assert {found.measure for found in findings} == set(facts.FACTS)
    wrong = [found for found in findings if not found.is_right]
    assert len(wrong) <= 0.01 * len(findings), wrong
    assert min(shares(findings).values()) >= 0.95, wrong


def test_blurred_and_noisy_videos_are_read_right():
    findings = []
    for index in range(0, CLIPS, 3):
        pixels = degraded(sample(index).clip.pixels, index)
        findings += judged(observe(pixels, SHORT.fps), sample(index))
    wrong = [found for found in findings if not found.is_right]
    assert len(wrong) <= 0.05 * len(findings), wrong


def test_another_ones_caption_is_right_by_chance_only():
    findings = [
        found
        for i in range(CLIPS)
        for found in judged(observed((i + 1) % CLIPS), sample(i))
    ]
    found = shares(findings)
    # What chance is: 7 backgrounds, 8 colours, 6 shapes, 14 motions.
    for fact in ("background", "colour", "shape", "motion", "gravity"):
        assert found[fact] < 0.4, (fact, found[fact])
    assert found["count"] < 0.8 and found["camera"] < 0.8 and found["light"] < 0.8


def test_a_video_through_a_mirror_moves_the_other_way():
    clip = first_single(motion="right", camera="still").clip
    assert seen(clip.pixels).objects[0].motion == "right"
    assert seen(clip.pixels[:, :, ::-1]).objects[0].motion == "left"


def test_time_reversed_everything_goes_back():
    opposites = {
        "right": "left",
        "down": "up",
        "grow": "shrink",
        "up left": "down right",
    }
    for motion, opposite in opposites.items():
        clip = first_single(motion=motion, camera="still").clip
        assert seen(clip.pixels).objects[0].motion == motion
        assert seen(clip.pixels[::-1]).objects[0].motion == opposite
    for motion in ("circle", "spin"):
        clip = first_single(motion=motion, camera="still").clip
        assert seen(clip.pixels).objects[0].motion == motion
        assert "counterclockwise" in seen(clip.pixels[::-1]).objects[0].motion


@pytest.mark.parametrize("motion", ["right", "bounce", "circle", "spin", "grow"])
def test_a_frozen_frame_does_not_move(motion):
    pixels = first_single(motion=motion, camera="still").clip.pixels
    frozen = np.broadcast_to(pixels[:1], pixels.shape)
    assert seen(frozen).objects[0].motion == "still"


def test_cameras_and_lights_turn_round_with_time():
    for name, value, opposite in (
        ("camera", "pan left", "pan right"),
        ("camera", "zoom in", "zoom out"),
        ("light", "dusk", "dawn"),
    ):
        pixels = first_single(**{name: value}).clip.pixels
        assert getattr(seen(pixels), name) == value
        assert getattr(seen(pixels[::-1]), name) == opposite
        frozen = np.broadcast_to(pixels[:1], pixels.shape)
        assert getattr(seen(frozen), name) in ("still", "steady")

"""Clips of the playground, and what the judge finds in them."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from sora_jax.config import PlaygroundConfig
from sora_jax.evals.case import Finding
from sora_jax.worlds.playground import render
from sora_jax.worlds.playground.judge import facts
from sora_jax.worlds.playground.judge.observation import Observation, observe
from sora_jax.worlds.playground.source import Playground, RenderedSample

CLIPS = 56
SHORT = dataclasses.replace(
    PlaygroundConfig(split="test"),
    frames=((1, 0.1), (9, 0.5), (17, 0.4)),
)
# One object on a floor; many clips to choose from.
SINGLE = dataclasses.replace(
    SHORT, frames=((17, 1.0),), sizes=(((64, 64), 1.0),), kinds=(("one", 1.0),)
)


@functools.cache
def sample(index: int) -> RenderedSample:
    return Playground(SHORT)[index]


@functools.cache
def observed(index: int) -> tuple[Observation, ...]:
    return observe(sample(index).clip.pixels, SHORT.fps)


def judged(observations, of: RenderedSample) -> list[Finding]:
    return facts.judge_facts(observations, of.captions, of.scene.stretches)


def first_single(**wanted: str) -> RenderedSample:
    """Return the first clip whose stretch and body have some attributes."""
    source = Playground(SINGLE)
    for index in range(2000):
        stretch = source.scene(index).stretches[0]
        known = {**vars(stretch.bodies[0]), **vars(stretch)}
        if all(known[name] == value for name, value in wanted.items()):
            return source[index]
    raise AssertionError(f"no clip has {wanted}")


def changed(clip: RenderedSample, **changes) -> np.ndarray:
    """Paint a clip again, with something else about its only body."""
    stretch = clip.scene.stretches[0]
    body = dataclasses.replace(stretch.bodies[0], **changes)
    stretch = dataclasses.replace(stretch, bodies=(body,))
    return render.render(dataclasses.replace(clip.scene, stretches=(stretch,)))


def wrong_facts(pixels: np.ndarray, clip: RenderedSample) -> set[str]:
    findings = judged(observe(pixels, SINGLE.fps), clip)
    return {found.measure for found in findings if not found.is_right}


def full_single() -> RenderedSample:
    """Return a clip whose caption states all of its facts."""
    source = Playground(SINGLE)
    for index in range(500):
        part = source.captions(index)[0][0]
        body = source.scene(index).stretches[0].bodies[0]
        if len(part.stated) == 7 - (not body.size) and body.motion == "bounce":
            return source[index]
    raise AssertionError("no caption is full")


def clip_of(kind: str) -> RenderedSample:
    """Return the first clip of a kind whose caption states a relation."""
    source = Playground(dataclasses.replace(SINGLE, kinds=((kind, 1.0),)))
    return next(
        source[index]
        for index in range(100)
        if "relation" in source.captions(index)[0][0].stated
    )

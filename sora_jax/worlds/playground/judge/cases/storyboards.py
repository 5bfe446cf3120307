"""Storyboards: two stretches of time with captions of their own."""

from __future__ import annotations

import functools

import numpy as np

from sora_jax.evals.case import Case, Finding, Suite
from sora_jax.sampling.tasks import Storyboard, Stretch, build
from sora_jax.worlds.playground import world
from sora_jax.worlds.playground.judge import facts
from sora_jax.worlds.playground.judge.cases import clips
from sora_jax.worlds.playground.judge.cases.clips import LONG, TrueClip
from sora_jax.worlds.playground.judge.observation import observe

_HALF = 17  # the frame at which the second stretch begins


def has_halves(scene: world.Scene) -> bool:
    """Say whether a scene is cut into halves, for which whole latents can be made."""
    return scene.stretches[-1].start == _HALF


def storyboard(index: int, sample: TrueClip, cut: bool) -> Case:
    """Two scenes that follow each other.

    Args:
      index: of the clip.
      sample: a clip of two scenes.
      cut: whether they are two shots, which know nothing of each other.
    """
    stretches = [
        Stretch(frame=part.start, prompt=part.text, cut=cut and part.start > 0)
        for part in sample.captions
    ]

    def score(clip: np.ndarray) -> list[Finding]:
        found = []
        for number, part in enumerate(sample.captions):
            row = f"facts of stretch {number + 1}"
            names: dict[str, str] = {fact: row for fact in facts.FACTS}
            told = ((part,), sample.scene.stretches[number : number + 1], names)
            shown = observe(clip[part.start : part.stop], clips.FPS)
            found += facts.judge_named_facts(shown, *told)
        return found

    given = clips.mask_of(sample.pixels, ())
    task = build(Storyboard, {"storyboard": stretches, "frames": LONG})
    shape = {"size": clips.SIZE, "fps": clips.FPS}
    return clips.clip_case(index, sample, given, score, task, **shape)


SUITES = {
    f"storyboard-{name}": Suite(
        cases=clips.clip_cases(
            lambda seed: clips.find_clips(seed, LONG, has_halves, kind="cut"),
            functools.partial(storyboard, cut=cut),
        ),
    )
    for name, cut in (("cut", True), ("shot", False))
}

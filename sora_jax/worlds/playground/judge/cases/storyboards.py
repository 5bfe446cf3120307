"""Storyboards: two stretches of time with captions of their own."""

from __future__ import annotations

import functools

import numpy as np

from sora_jax.evals import clips, findings, judge
from sora_jax.evals.findings import Finding
from sora_jax.evals.joins import LONG, case
from sora_jax.evals.operated import Case, Model, Task
from sora_jax.sampling.tasks.story import Stretch
from sora_jax.worlds.playground import world
from sora_jax.worlds.playground.source import Sample

_HALF = 17  # the frame at which the second stretch begins


def halves(scene: world.Scene) -> bool:
    """Say whether a scene is cut into halves, for which whole latents can be made."""
    return scene.stretches[-1].start == _HALF


def storyboard(index: int, sample: Sample, cut: bool) -> Case:
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

    def make(model: Model, **settings) -> np.ndarray:
        asked = dict(frames=LONG, size=clips.SIZE, fps=clips.FPS)
        return model.storyboard(stretches, **asked, **settings)

    def look(clip: np.ndarray) -> list[Finding]:
        found = []
        for number, part in enumerate(sample.captions):
            row = f"facts of stretch {number + 1}"
            names: dict[str, str] = {fact: row for fact in judge.FACTS}
            told = ((part,), sample.scene.stretches[number : number + 1], names)
            shown = clip[part.start : part.stop]
            found += findings.facts(shown, *told, clips.FPS)
        return found

    return case(index, sample, (), make, look)


TASKS = {
    f"storyboard-{name}": Task(
        clips=lambda seed: clips.find(seed, LONG, halves, kind="cut"),
        build=functools.partial(storyboard, cut=cut),
    )
    for name, cut in (("cut", True), ("shot", False))
}

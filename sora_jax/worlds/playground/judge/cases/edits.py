"""Edits: change a colour or shape, and keep everything else."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from sora_jax.data import video
from sora_jax.evals.case import Case, Finding, Suite, all_right
from sora_jax.sampling.tasks import Edit, build
from sora_jax.worlds.playground import captions, chance, render, world
from sora_jax.worlds.playground.judge import facts, tracking
from sora_jax.worlds.playground.judge.cases import clips
from sora_jax.worlds.playground.judge.cases.clips import SHORT, TrueClip
from sora_jax.worlds.playground.judge.observation import observe

STRENGTHS = (0.5, 0.7, 0.9)
_EDITS = 2  # seed offset, apart from the clips'


def edit(index: int, sample: TrueClip, strength: float) -> Case:
    """Build a case that changes one attribute of the object."""
    pixels, scene = sample.pixels, sample.scene
    rng = chance.generator(_EDITS, index)
    changed = ("colour", "shape")[index % 2]
    stretch = _changed(scene.stretches[0], changed, rng)
    told = captions.caption(stretch, rng, "full")
    truth = render.render(dataclasses.replace(scene, stretches=(stretch,)))

    names = dict.fromkeys(("colour", "shape"), "keeps its shape or colour")
    names |= {"motion": "keeps its motion", "background": "keeps the background"}
    names[changed] = f"changes its {changed}"

    def score(clip: np.ndarray) -> list[Finding]:
        seen = observe(clip, clips.FPS)
        found = facts.judge_named_facts(seen, (told,), (stretch,), names)
        found.append(_path(clip, stretch.bodies[0]))
        return [*found, all_right(found)]

    return Case(
        index=index,
        prompt=told.text,
        task=build(Edit, {"video": pixels, "strength": strength}),
        settings={},
        fps=clips.FPS,
        truth=video.to_float(video.to_uint8(truth)),
        given=np.zeros(pixels.shape[:3], bool),
        baseline=pixels,
        score=score,
    )


def _changed(
    stretch: world.SceneStretch, attribute: str, rng: np.random.Generator
) -> world.SceneStretch:
    """Give the only body of a stretch another colour or shape."""
    (body,) = stretch.bodies
    options = {
        "colour": [name for name in world.COLOURS if name != body.colour],
        "shape": [
            name
            for name, shape in world.SHAPES.items()
            if name != body.shape and not (body.motion == "spin" and shape.is_round)
        ],
    }[attribute]
    body = dataclasses.replace(body, **{attribute: chance.choose(rng, options)})
    return dataclasses.replace(stretch, bodies=(body,))


def _path(clip: np.ndarray, body: world.Body) -> Finding:
    """Compare where the object is in all frames with where it was before the edit."""
    away = float(tracking.distances(tracking.positions(clip), body.centre).mean())
    return Finding(
        measure=f"keeps its path within {tracking.NEAR}",
        value=away,
        stated=f"<= {tracking.NEAR}",
        seen=f"{away:.3f}",
        is_right=away <= tracking.NEAR,
    )


SUITES = {
    f"edit-{strength}": Suite(
        cases=clips.clip_cases(
            lambda seed: clips.find_clips(seed, SHORT),
            functools.partial(edit, strength=strength),
        ),
    )
    for strength in STRENGTHS
}

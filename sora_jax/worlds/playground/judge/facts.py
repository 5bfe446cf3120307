"""Judge facts: compare observations of a video with its captions."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

from sora_jax.evals.case import Finding
from sora_jax.worlds.playground import captions, world
from sora_jax.worlds.playground.judge.observation import Object, Observation

_GRAVITY_ERROR = 0.15
# The facts, in the order of the table.
FACTS = (
    "background",
    "colour",
    "shape",
    "count",
    "size",
    "motion",
    "gravity",
    "relation",
    "camera",
    "light",
    "scenes",
)


def judge_facts(
    observations: Sequence[Observation],
    parts: Sequence[captions.StatedCaption],
    stretches: Sequence[world.SceneStretch],
) -> list[Finding]:
    """Judge every fact that the captions state.

    Args:
      observations: of the video.
      parts: a caption for each stretch.
      stretches: ground truth of the captions.
    """
    findings = []
    if stretches[-1].stop > 1:
        findings.append(_equal("scenes", str(len(parts)), str(len(observations))))
    for number, (part, stretch) in enumerate(zip(parts, stretches, strict=True)):
        observation = observations[number] if number < len(observations) else None
        findings += _judge_stretch(observation, part, stretch)
    return findings


def judge_named_facts(
    observations: Sequence[Observation],
    parts: Sequence[captions.StatedCaption],
    stretches: Sequence[world.SceneStretch],
    names: Mapping[str, str],
) -> list[Finding]:
    """Judge only the facts that `names` maps to a measure.

    Args:
      observations: of the video.
      parts: a caption for each stretch.
      stretches: ground truth of the captions.
      names: the measure for each of `FACTS` that counts.
    """
    return [
        dataclasses.replace(
            found,
            measure=names[found.measure],
            stated=f"{found.measure}: {found.stated}",
        )
        for found in judge_facts(observations, parts, stretches)
        if found.measure in names
    ]


def facts_stated(
    parts: Sequence[captions.StatedCaption], stretches: Sequence[world.SceneStretch]
) -> set[str]:
    """Return the facts that are judged of a video by these captions."""
    return {found.measure for found in judge_facts((), parts, stretches)}


def _equal(fact: str, stated: str, seen: str) -> Finding:
    return Finding(measure=fact, stated=stated, seen=seen, is_right=stated == seen)


def _judge_stretch(
    observation: Observation | None,
    part: captions.StatedCaption,
    stretch: world.SceneStretch,
) -> list[Finding]:
    known = captions.facts(stretch)
    stated = {key: value for key, value in known.items() if key in part.stated}
    objects = observation.objects if observation else ()
    partners = _match(objects, stated, len(stretch.bodies))
    findings = [_equal("count", str(len(stretch.bodies)), str(len(objects)))]
    for key, value in stated.items():
        fact, _, number = key.partition(".")
        if fact == "relation":
            findings.append(_judge_relation(observation, value, partners))
        elif number:
            partner = partners[int(number)]
            seen_object = None if partner is None else objects[partner]
            findings.append(_equal(fact, value, getattr(seen_object, fact, "")))
            if value == "bounce":
                findings.append(_judge_gravity(seen_object))
        else:
            findings.append(_equal(fact, value, getattr(observation, fact, "")))
    return findings


def _match(
    objects: Sequence[Object], stated: dict[str, str], bodies: int
) -> tuple[int | None, ...]:
    """Match objects to bodies by the pairing that agrees in most facts."""
    options: list[int | None] = [*range(len(objects)), *(None,) * bodies]

    def agreement(pairing: Sequence[int | None]) -> int:
        return sum(
            getattr(objects[seen_object], fact) == stated.get(f"{fact}.{body}")
            for body, seen_object in enumerate(pairing)
            if seen_object is not None
            for fact in ("colour", "shape", "size", "motion")
        ) + sum(seen_object is not None for seen_object in pairing)

    return max(itertools.permutations(options, bodies), key=agreement)


def _judge_relation(
    observation: Observation | None, stated: str, partners: Sequence[int | None]
) -> Finding:
    held = observation.relations if observation else frozenset()
    names = sorted({name for name, *pair in held if set(pair) <= set(partners)})
    first, last = partners[0], partners[-1]
    is_right = (stated, first, last) in held
    return Finding(
        measure="relation", stated=stated, seen=", ".join(names), is_right=is_right
    )


def _judge_gravity(seen_object: Object | None) -> Finding:
    seen = seen_object.gravity if seen_object else None
    return Finding(
        measure="gravity",
        stated=f"{world.GRAVITY:.2f}",
        seen="" if seen is None else f"{seen:.2f}",
        is_right=seen is not None and abs(seen / world.GRAVITY - 1.0) <= _GRAVITY_ERROR,
    )

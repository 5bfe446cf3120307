"""Compare what a video shows with what its caption states: readings to verdicts."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

from sora_jax.evals.read import Reading, Thing
from sora_jax.worlds.playground import captions, world

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a video shows a fact.

    Attributes:
      fact: one of `FACTS`.
      stated: what the caption says.
      seen: what the pixels show; "" where there is nothing to look at.
      is_right: whether that is what is stated.
    """

    fact: str
    stated: str
    seen: str
    is_right: bool


def judge(
    readings: Sequence[Reading],
    parts: Sequence[captions.Caption],
    stretches: Sequence[world.Stretch],
) -> list[Verdict]:
    """Judge every fact that the captions state.

    Args:
      readings: what the video shows.
      parts: a caption for each stretch.
      stretches: what the captions were made from.
    """
    verdicts = []
    if stretches[-1].stop > 1:
        verdicts.append(_verdict("scenes", str(len(parts)), str(len(readings))))
    for number, (part, stretch) in enumerate(zip(parts, stretches, strict=True)):
        reading = readings[number] if number < len(readings) else None
        verdicts += _judge_stretch(reading, part, stretch)
    return verdicts


def facts_judged(
    parts: Sequence[captions.Caption], stretches: Sequence[world.Stretch]
) -> set[str]:
    """Return the facts that are judged of a video with these captions."""
    return {verdict.fact for verdict in judge((), parts, stretches)}


def _verdict(fact: str, stated: str, seen: str) -> Verdict:
    return Verdict(fact=fact, stated=stated, seen=seen, is_right=stated == seen)


def _judge_stretch(
    reading: Reading | None, part: captions.Caption, stretch: world.Stretch
) -> list[Verdict]:
    known = captions.facts(stretch)
    stated = {key: value for key, value in known.items() if key in part.stated}
    things = reading.things if reading else ()
    partners = _match(things, stated, len(stretch.bodies))
    verdicts = [_verdict("count", str(len(stretch.bodies)), str(len(things)))]
    for key, value in stated.items():
        fact, _, number = key.partition(".")
        if fact == "relation":
            verdicts.append(_judge_relation(reading, value, partners))
        elif number:
            partner = partners[int(number)]
            thing = None if partner is None else things[partner]
            verdicts.append(_verdict(fact, value, getattr(thing, fact, "")))
            if value == "bounce":
                verdicts.append(_judge_gravity(thing))
        else:
            verdicts.append(_verdict(fact, value, getattr(reading, fact, "")))
    return verdicts


def _match(
    things: Sequence[Thing], stated: dict[str, str], bodies: int
) -> tuple[int | None, ...]:
    """Say which thing is which body: the pairing that agrees in most facts."""
    options: list[int | None] = [*range(len(things)), *(None,) * bodies]

    def agreement(pairing: Sequence[int | None]) -> int:
        return sum(
            getattr(things[thing], fact) == stated.get(f"{fact}.{body}")
            for body, thing in enumerate(pairing)
            if thing is not None
            for fact in ("colour", "shape", "size", "motion")
        ) + sum(thing is not None for thing in pairing)

    return max(itertools.permutations(options, bodies), key=agreement)


def _judge_relation(
    reading: Reading | None, stated: str, partners: Sequence[int | None]
) -> Verdict:
    held = reading.relations if reading else frozenset()
    names = sorted({name for name, *pair in held if set(pair) <= set(partners)})
    first, last = partners[0], partners[-1]
    is_right = (stated, first, last) in held
    return Verdict(
        fact="relation", stated=stated, seen=", ".join(names), is_right=is_right
    )


def _judge_gravity(thing: Thing | None) -> Verdict:
    seen = thing.gravity if thing else None
    return Verdict(
        fact="gravity",
        stated=f"{world.GRAVITY:.2f}",
        seen="" if seen is None else f"{seen:.2f}",
        is_right=seen is not None and abs(seen / world.GRAVITY - 1.0) <= _GRAVITY_ERROR,
    )

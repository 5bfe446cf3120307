"""Measure what it is worth to read people's words as captions say them.

`python benchmarks/words.py` makes 16 videos of each saying with the default model, as
it is said and as it is read, and counts those in which the judge sees all of it.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import numpy as np
import tyro

import sora_jax
from sora_jax import runtime
from sora_jax.worlds.playground import world
from sora_jax.worlds.playground.judge.observation import Observation, observe

Seen = Callable[[Sequence[Observation], Sequence[str]], bool]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """How much is measured."""

    # Videos of each saying.
    videos: int = 16
    # How many are made at once.
    batch: int = 8
    # Of the noise and of what is named.
    seed: int = 100


def moves(*motions: str) -> Seen:
    """One body, of its colour, that moves so."""

    def seen(observations: Sequence[Observation], colours: Sequence[str]) -> bool:
        objects = [item for observation in observations for item in observation.objects]
        return [item.colour for item in objects] == [colours[0]] and (
            objects[0].motion in motions
        )

    return seen


def related(relation: str, bodies: int) -> Seen:
    """So many bodies, of their colours, in one shot, that are related so."""

    def seen(observations: Sequence[Observation], colours: Sequence[str]) -> bool:
        found = sorted(item.colour for item in observations[0].objects)
        relations = {name for name, *_ in observations[0].relations}
        is_all = len(observations) == 1 and found == sorted(colours[:bodies])
        return is_all and relation in relations

    return seen


def cut(observations: Sequence[Observation], colours: Sequence[str]) -> bool:
    """Two shots, of one body each."""
    found = [
        [item.colour for item in observation.objects] for observation in observations
    ]
    return found == [[colour] for colour in colours]


FLOOR, WALL = " on a green floor", " in front of a dotted wall"
SAYINGS: tuple[tuple[str, Seen], ...] = (
    ("{a} moves diagonally" + FLOOR, moves("up right", "up left")),
    ("{a} and {b}" + FLOOR + ". they collide", related("collide", 2)),
    ("{a} crashes into {b}" + FLOOR, related("collide", 2)),
    ("{a} passes behind a wall" + FLOOR, related("behind", 1)),
    ("{a} disappears behind a wall and comes out" + FLOOR, related("behind", 1)),
    ("{a}" + FLOOR + ", then {b} on a brown floor", cut),
    ("{a}" + FLOOR + "; cut to {b} on a brown floor", cut),
    ("{a} falls" + WALL, moves("down")),
    ("{a} jumps" + FLOOR, moves("bounce")),
    ("{a} ascends" + WALL, moves("up")),
    ("{a} does not move" + FLOOR, moves("still")),
    ("{a} comes closer" + FLOOR, moves("grow")),
    ("{a} next to {b}" + FLOOR, related("left of", 2)),
    ("{a} on top of {b}" + FLOOR, related("above", 2)),
)


def named(arguments: Arguments) -> list[tuple[tuple[str, str], dict[str, str]]]:
    """Colours and names of two bodies for each video."""
    rng = np.random.default_rng(arguments.seed)
    found = []
    for _ in range(arguments.videos):
        colours = rng.choice(list(world.COLOURS), 2, replace=False).tolist()
        shapes = rng.choice(("ball", "square", "triangle"), 2).tolist()
        nouns = [
            f"{'an' if colour[0] in 'aeiou' else 'a'} {colour} {shape}"
            for colour, shape in zip(colours, shapes, strict=True)
        ]
        found.append((tuple(colours), dict(zip("ab", nouns, strict=True))))
    return found


def count(saying: str, seen: Seen, rewords: bool, arguments: Arguments) -> int:
    """In how many videos of a saying all is seen."""
    model = sora_jax.load(rewords=rewords)
    bodies = named(arguments)
    prompts = [saying.format(**names) for _, names in bodies]
    # A cut is made of one prompt at a time.
    batch = 1 if seen is cut and rewords else arguments.batch
    total, number = 0, itertools.count()
    for start in range(0, len(prompts), batch):
        videos = model.generate(
            prompts[start : start + batch], seed=arguments.seed + start
        )
        for video in np.clip(np.asarray(videos, np.float32), -1, 1):
            total += seen(observe(video, 8.0), bodies[next(number)][0])
    return total


def main() -> None:
    """Print a row for each saying."""
    arguments = tyro.cli(Arguments, description=__doc__)
    runtime.enable_compilation_cache()
    print("| said | as it is said | as it is read |\n|---|---|---|")
    for saying, seen in SAYINGS:
        counts = [count(saying, seen, rewords, arguments) for rewords in (False, True)]
        print(f"| {saying} | {counts[0]} | {counts[1]} |", flush=True)


if __name__ == "__main__":
    main()

"""Draw the looks of bodies.

Some combinations of colour, shape and motion are held out for the test split.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sora_jax.worlds.playground import moves, world
from sora_jax.worlds.playground.chance import choose


def is_held_out(colour: str, shape: str, motion: str) -> bool:
    """Return whether a combination is held out for the test split.

    Of the eight colours exactly one is kept for each shape and motion, so a model must
    have learned the colour from the shape's other motions, and so on around.
    """
    row = list(world.COLOURS).index(colour)
    column = list(world.SHAPES).index(shape)
    layer = list(world.MOTIONS).index(motion)
    return (row + 3 * column + 5 * layer) % len(world.COLOURS) == 0


def draw_looks(
    rng: np.random.Generator, split: str, motions: Sequence[str], relation: str
) -> list[moves.Look]:
    """Draw the looks of bodies; in the test split the first is held out."""
    looks: list[moves.Look] = []
    for motion in motions:
        shape = choose(rng, _shapes_that(motion))
        colours = [
            colour
            for colour in world.COLOURS
            if colour not in {look.colour for look in looks}
            and _is_shown(split, bool(looks), colour, shape, motion)
        ]
        # Two bodies, or a body and a wall, must fit beside each other.
        size = choose(rng, ("small", "medium", "big")[: 2 if relation else 3])
        if motion in ("grow", "shrink"):
            size = ""
        looks.append(
            moves.Look(
                colour=choose(rng, colours), shape=shape, size=size, motion=motion
            )
        )
    return looks


def _is_shown(
    split: str, has_first: bool, colour: str, shape: str, motion: str
) -> bool:
    if split == "test" and has_first:
        return True
    return is_held_out(colour, shape, motion) == (split == "test")


def _shapes_that(motion: str) -> tuple[str, ...]:
    """Return the shapes that can be seen to move so."""
    return tuple(
        name
        for name, shape in world.SHAPES.items()
        if not (motion == "spin" and shape.is_round)
        and not (motion == "collide" and shape.is_pointed)
    )


def draw_turning(
    rng: np.random.Generator, split: str, first: str, then: str
) -> moves.Look:
    """Draw the look of a turning body; in the test split, one motion is held out."""
    shape = choose(rng, tuple(world.SHAPES))
    colours = [
        colour
        for colour in world.COLOURS
        if (split == "test")
        == any(is_held_out(colour, shape, motion) for motion in (first, then))
    ]
    size = choose(rng, tuple(world.DIAMETERS))
    return moves.Look(colour=choose(rng, colours), shape=shape, size=size, motion=first)

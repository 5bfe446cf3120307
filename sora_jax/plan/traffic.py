"""Count the memory traffic of a compiled program, loop iterations included.

A loop over layers reads and writes one layer of a stack per iteration, not all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sora_jax.plan.hlo import (
    Instruction,
    computations,
    instructions,
    parse,
    shape_bytes,
)

# Instructions without traffic of their own, or whose bodies are counted instead.
STILL = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while"}
STILL |= {"conditional", "call", "after-all", "opt-barrier", "partition-id", "iota"}
SLICES = {"slice", "dynamic-slice", "gather"}


def moved_bytes(text: str) -> float:
    """Return the bytes that instructions read from memory and write to it."""
    bodies, _ = computations(text)
    shapes: dict[str, str] = {}
    total = 0.0
    for one in instructions(text):
        shapes[one.name] = one.shape
        if one.kind in STILL or one.kind.endswith("-done"):
            continue
        read = [shapes.get(name, "") for name in one.operands]
        total += one.turns * sum(
            shape_bytes(shape, in_memory=True) for shape in _touched(one, read, bodies)
        )
    return total


def _touched(
    one: Instruction, read: Sequence[str], bodies: dict[str, list[str]]
) -> list[str]:
    """Return the types that an instruction actually reads and writes."""
    if one.kind in SLICES:
        return [one.shape, one.shape]
    if one.kind == "dynamic-update-slice":
        return [read[1], read[1]]
    if one.kind.endswith("-start"):  # operands stand in its type once more
        return [one.shape]
    called = re.search(r"calls=%([\w.\-]+)", one.rest)
    if one.kind == "fusion" and called and called[1] in bodies:
        return _touched_inside(one, read, bodies[called[1]])
    return [one.shape, *read]


def _touched_inside(
    one: Instruction, read: Sequence[str], body: list[str]
) -> list[str]:
    """Do the same for a fusion: only slices and updates of sliced operands count."""
    inner = [found for line in body if (found := parse(line, 1.0))]
    by_name = {item.name: item for item in inner}
    touched = []
    for item in inner:
        if item.kind != "parameter":
            continue
        index = int(re.match(r"\d+", item.rest)[0])  # type: ignore[index]
        users = [user for user in inner if item.name in user.operands]
        kinds = {user.kind for user in users if user.operands[0] == item.name}
        is_sliced = all(user.operands[0] == item.name for user in users)
        if users and is_sliced and kinds <= SLICES:
            touched += [user.shape for user in users]
        elif "dynamic-update-slice" in kinds:
            continue  # the stack itself stays where it is
        elif index < len(read):
            touched.append(read[index])
    updates = [item for item in inner if item.kind == "dynamic-update-slice"]
    if updates and updates[-1].shape.split("{")[0] in one.shape:
        update = by_name.get(updates[-1].operands[1])
        return [*touched, update.shape if update else ""]
    return [*touched, one.shape]

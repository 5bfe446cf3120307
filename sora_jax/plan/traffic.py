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
_CALLED = re.compile(r"calls=%([\w.\-]+)")
_TYPE = re.compile(r"\w+\[[\d,]*\](?:\{[^}]*\})?")


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
    if one.kind == "slice-start":  # its type: what is sliced, the slice, a flag
        cut = _TYPE.findall(one.shape)[1]
        return [cut, cut.replace("S(1)", "")]
    if one.kind.endswith("-start"):  # operands stand in its type once more
        return [one.shape]
    called = _CALLED.search(one.rest)
    if one.kind == "fusion" and called and called[1] in bodies:
        return _touched_inside(one, read, bodies[called[1]], bodies)
    return [one.shape, *read]


def _touched_inside(
    one: Instruction,
    read: Sequence[str],
    body: list[str],
    bodies: dict[str, list[str]],
) -> list[str]:
    """Do the same for a fusion: only slices and updates of sliced operands count."""
    inner = _instructions(body)
    by_name = {item.name: item for item in inner}
    touched = []
    for item in inner:
        if item.kind == "parameter":
            index = int(re.match(r"\d+", item.rest)[0])  # type: ignore[index]
            if index < len(read):
                touched += _read_of(item.name, read[index], inner, bodies)
    updates = [item for item in inner if item.kind == "dynamic-update-slice"]
    if updates and updates[-1].shape.split("{")[0] in one.shape:
        update = by_name.get(updates[-1].operands[1])
        return [*touched, update.shape if update else ""]
    return [*touched, one.shape]


def _instructions(body: list[str]) -> list[Instruction]:
    return [found for line in body if (found := parse(line, 1.0))]


def _read_of(
    name: str,
    shape: str,
    body: Sequence[Instruction],
    bodies: dict[str, list[str]],
) -> list[str]:
    """Return the types of what a fusion reads of one of its parameters."""
    names = _same_array(name, body)
    users = [
        user
        for user in body
        if user.name not in names and not names.isdisjoint(user.operands)
    ]
    read = [] if users else [shape]
    for user in users:
        called = _CALLED.search(user.rest)
        is_first = user.operands[0] in names and names.isdisjoint(user.operands[1:])
        if is_first and user.kind in SLICES:
            read.append(user.shape)
        elif is_first and user.kind == "dynamic-update-slice":
            continue  # the stack itself stays where it is
        elif user.kind == "fusion" and called and called[1] in bodies:
            inner = _instructions(bodies[called[1]])
            for item in inner:
                index = re.match(r"\d+", item.rest)
                if item.kind == "parameter" and index:
                    if user.operands[int(index[0])] in names:
                        read += _read_of(item.name, shape, inner, bodies)
        else:
            return [shape]
    return read


def _same_array(name: str, body: Sequence[Instruction]) -> set[str]:
    """Return the names of an array in a fusion, in other shapes too."""
    names = {name}
    for item in body:  # operands come before what reads them
        if item.kind == "bitcast" and item.operands[0] in names:
            names.add(item.name)
    return names

"""Parse the instructions of a compiled program.

XLA's own analysis counts the body of a loop once. Here every instruction counts once
per iteration of its loops.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator

SIZES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2}
SIZES |= {"f32": 4, "s32": 4, "u32": 4, "f64": 8, "s64": 8, "u64": 8}
_HEAD = re.compile(r"^(ENTRY )?%([\w.\-]+) \(")  # may go on for lines
_INSTRUCTION = re.compile(r"^\s*(?:ROOT )?%([\w.\-]+) = (.*?) ([a-z][\w\-]*)\((.*)$")
_ARRAY = re.compile(r"(\w+)\[([\d,]*)\](\{[^}]*\})?")
_CALLED = re.compile(
    r"(?:calls|to_apply|branch_computations|true_computation|false_computation)="
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Instruction:
    """One line of a program.

    Attributes:
      name: of the instruction.
      shape: its type, as printed.
      kind: such as "fusion" or "all-gather".
      rest: operands and attributes, as printed.
      turns: number of executions.
    """

    name: str
    shape: str
    kind: str
    rest: str
    turns: float

    @property
    def source(self) -> str:
        """The JAX function that it came from."""
        found = re.search(r'op_name="([^"]*)"', self.rest)
        return found[1] if found else ""

    @property
    def operands(self) -> list[str]:
        """Names of its operands."""
        return re.findall(r"%([\w.\-]+)", self.rest.split("), ")[0])


def instructions(text: str) -> Iterator[Instruction]:
    """Yield the instructions outside fusions, with their number of executions."""
    bodies, entry = computations(text)

    def walk(name: str, turns: float) -> Iterator[Instruction]:
        for line in bodies[name]:
            instruction = parse(line, turns)
            if instruction is None:
                continue
            yield instruction
            if instruction.kind == "while":
                condition, body = (
                    re.search(rf"{part}=%([\w.\-]+)", instruction.rest)[1]  # type: ignore[index]
                    for part in ("condition", "body")
                )
                yield from walk(body, turns * _trips(bodies[condition]))
            elif instruction.kind in ("conditional", "call", "async-start"):
                # Every branch of a conditional counts: an upper bound.
                for name in called(instruction.rest):
                    yield from walk(name, turns)

    yield from walk(entry, 1.0)


def parse(line: str, turns: float) -> Instruction | None:
    """Parse a line of a computation."""
    found = _INSTRUCTION.match(line)
    if found is None:
        return None
    name, shape, kind, rest = found.groups()
    return Instruction(name=name, shape=shape, kind=kind, rest=rest, turns=turns)


def shape_bytes(shape: str, *, in_memory: bool = False) -> float:
    """Return the bytes of a printed type; `in_memory` skips on-chip arrays."""
    total = 0
    for kind, sides, layout in _ARRAY.findall(shape):
        if kind in SIZES and not (in_memory and "S(1)" in layout):
            lengths = [int(side) for side in sides.split(",") if side]
            total += SIZES[kind] * math.prod(lengths)
    return float(total)


def computations(text: str) -> tuple[dict[str, list[str]], str]:
    """Return the computations of a program by name, and the name of the entry."""
    bodies: dict[str, list[str]] = {}
    entry, lines = "", None
    for line in text.splitlines():
        head = _HEAD.match(line)
        if head:
            lines = bodies[head[2]] = []
            entry = head[2] if head[1] else entry
        elif line.rstrip() == "}":
            lines = None
        elif lines is not None:
            lines.append(line)
    return bodies, entry


def _trips(condition: list[str]) -> int:
    """Return the trip count of a loop from the constant in its condition."""
    found = [
        int(n) for line in condition for n in re.findall(r"constant\((\d+)\)", line)
    ]
    return max(found, default=1)


def called(rest: str) -> list[str]:
    """Names of the computations that an instruction calls."""
    names = []
    for place in _CALLED.finditer(rest):
        listed = re.match(r"\{([^}]*)\}|%[\w.\-]+", rest[place.end() :])
        if listed:
            names += re.findall(r"%([\w.\-]+)", listed[0])
    return names

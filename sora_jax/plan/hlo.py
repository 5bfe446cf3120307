"""Parse the collectives of a compiled program.

XLA's own analysis counts the body of a loop once. Here every instruction counts once
per iteration of its loops.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections import defaultdict
from collections.abc import Iterator

SIZES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2}
SIZES |= {"f32": 4, "s32": 4, "u32": 4, "f64": 8, "s64": 8, "u64": 8}
# Bytes that a chip sends in a group of g, as a multiple of the result's bytes.
SENT = {
    "all-gather": lambda g: (g - 1) / g,
    "all-to-all": lambda g: (g - 1) / g,
    "all-reduce": lambda g: 2 * (g - 1) / g,
    "reduce-scatter": lambda g: g - 1,
    "collective-permute": lambda g: 1,
}
# The same for traffic between slices, as a multiple of the bytes passed to the network,
# by the number of slices.
NETWORK = "network"
HANDED = {
    "ALL_REDUCE": lambda s: 2 * (s - 1) / s,
    "ALL_GATHER": lambda s: s - 1,
    "REDUCE_SCATTER": lambda s: (s - 1) / s,
    "ALL_TO_ALL": lambda s: (s - 1) / s,
}
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Collective:
    """A collective operation.

    Attributes:
      kind: a key of `SENT`, or `NETWORK`.
      shape: of the result.
      group: number of participants.
      sent: bytes that each chip sends, over all executions.
      turns: number of executions.
      source: the function that it came from.
    """

    kind: str
    shape: str
    group: int
    sent: float
    turns: float
    source: str


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
                for called in _called(instruction.rest):
                    yield from walk(called, turns)

    yield from walk(entry, 1.0)


def parse(line: str, turns: float) -> Instruction | None:
    """Parse a line of a computation."""
    found = _INSTRUCTION.match(line)
    if found is None:
        return None
    name, shape, kind, rest = found.groups()
    return Instruction(name=name, shape=shape, kind=kind, rest=rest, turns=turns)


def collectives(text: str) -> list[Collective]:
    """Return all collectives of a program."""
    bodies, _ = computations(text)
    found: list[Collective] = []
    spread: set[tuple[str, float, float]] = set()
    for one in instructions(text):
        kind = one.kind.removesuffix("-start")
        if kind in SENT:
            shape = one.shape if one.kind == kind else _given(one.shape)
            found.append(_collective(kind, shape, one, one.rest))
        elif one.kind == "send" and "_xla_megascale" in one.rest:
            found.append(_to_other_slices(one))
        elif one.kind == "fusion":
            for called in _called(one.rest):
                found += _hidden(one, called, bodies.get(called, []), spread)
    return found


def _hidden(
    one: Instruction,
    called: str,
    body: list[str],
    spread: set[tuple[str, float, float]],
) -> list[Collective]:
    """Return the collectives in a fusion that no earlier fusion contains."""
    found = []
    for line in body:
        inner = parse(line, one.turns)
        kind = inner.kind.removesuffix("-start") if inner else ""
        if inner is None or kind not in SENT:
            continue
        # One that overlaps several fusions appears in each of them.
        channel = re.search(r"channel_id=\d+", line)
        mark = (channel[0] if channel else line, shape_bytes(inner.shape), one.turns)
        if mark in spread:
            continue
        spread.add(mark)
        if called.startswith("all-reduce-scatter"):
            found.append(_collective("reduce-scatter", one.shape, one, inner.rest))
        else:
            found.append(_collective(kind, inner.shape, one, inner.rest))
    return found


def _collective(kind: str, shape: str, one: Instruction, rest: str) -> Collective:
    group = max(_group(rest), 1)
    return Collective(
        kind=kind,
        shape=shape,
        group=group,
        sent=one.turns * shape_bytes(shape) * SENT[kind](group),
        turns=one.turns,
        source=one.source,
    )


def _to_other_slices(one: Instruction) -> Collective:
    """Return the transfer from a chip to its host for other slices."""
    kind = re.search(r'_xla_megascale_transfer_type="(\w+)"', one.rest)
    target = re.search(r'_xla_megascale_target="\{([\d,]+|\d+:\d+)\}', one.rest)
    if target is None:
        raise ValueError(f"the slices that {one.name} tells are not read: {one.rest}")
    first, colon, last = target[1].partition(":")
    slices = int(last) - int(first) + 1 if colon else first.count(",") + 1
    shape = one.shape[1:].split(", u32")[0]  # what is sent, a context, a token
    times = HANDED.get(kind[1] if kind else "", lambda s: 1)(slices)
    return Collective(
        kind=NETWORK,
        shape=shape,
        group=slices,
        sent=one.turns * shape_bytes(shape) * times,
        turns=one.turns,
        source=one.source,
    )


def by_kind(found: list[Collective]) -> dict[str, float]:
    """Bytes that each chip sends, by kind."""
    total: dict[str, float] = defaultdict(float)
    for one in found:
        total[one.kind] += one.sent
    return dict(total)


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


def _called(rest: str) -> list[str]:
    names = []
    for place in _CALLED.finditer(rest):
        listed = re.match(r"\{([^}]*)\}|%[\w.\-]+", rest[place.end() :])
        if listed:
            names += re.findall(r"%([\w.\-]+)", listed[0])
    return names


def _group(rest: str) -> int:
    """Return the number of participants of a collective."""
    if found := re.search(r"replica_groups=\{\{([\d,]+)\}", rest):
        return found[1].count(",") + 1
    if found := re.search(r"replica_groups=\[(\d+),(\d+)\]", rest):
        return int(found[2])
    if found := re.search(r"replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}", rest):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", found[1]))
        return math.prod(int(sizes[name]) for name in re.findall(r"'(\w+)'", found[2]))
    return 2


def _given(shape: str) -> str:
    """Return the result type of an asynchronous start, which follows its operands."""
    inner = shape[1:-1] if shape.startswith("(") else shape
    parts, depth, start = [], 0, 0
    for place, letter in enumerate(inner):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and not depth:
            parts.append(inner[start:place])
            start = place + 1
    parts.append(inner[start:])
    return parts[1] if len(parts) > 1 else shape

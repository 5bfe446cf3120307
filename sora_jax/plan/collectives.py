"""The collectives of a compiled program, and the bytes they send."""

from __future__ import annotations

import dataclasses
import math
import re
from collections import defaultdict

from sora_jax.plan.hlo import (
    Instruction,
    called,
    computations,
    instructions,
    parse,
    shape_bytes,
)

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


def of_program(text: str) -> list[Collective]:
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
            for name in called(one.rest):
                found += _hidden(one, name, bodies.get(name, []), spread)
    return found


def _hidden(
    one: Instruction,
    name: str,
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
        if name.startswith("all-reduce-scatter"):
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

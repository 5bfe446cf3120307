"""Check the shapes of a LoRA file's tensors against the network they are for."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping

from sora_jax.families.table import Entry
from sora_jax.weights.headers import DTYPES, NUMBERS
from sora_jax.weights.lora_target import Part, Parts, Target
from sora_jax.weights.tensor_checks import listed

FACTORS = ("down", "up")
HALF, MISSHAPEN = "without the other factor", "of another shape"
RANKS, KINDS = "of ranks that do not go together", "of another type"


def problems_of(modules: Parts, target: Target) -> list[str]:
    """List all tensors that do not fit the network or one another."""
    found: dict[str, list[str]] = defaultdict(list)
    for module, parts in modules.items():
        for kind, line in _of_types(parts.values()):
            found[kind].append(line)
        for kind, line in _of_module(module, parts, target):
            found[kind].append(line)
    return [line for kind, lines in found.items() for line in listed(kind, lines)]


def _of_types(parts: Iterable[Part]) -> Iterable[tuple[str, str]]:
    for name, tensor in parts:
        known = NUMBERS if name.endswith(".alpha") else DTYPES
        if tensor.dtype not in known:
            yield KINDS, f"{name}: {tensor.dtype}, not {', '.join(known)}"


def _of_module(
    module: str, parts: Mapping[str, Part], target: Target
) -> Iterable[tuple[str, str]]:
    """Yield the problems of a module: (kind, line)."""
    factors = [parts[part] for part in FACTORS if part in parts]
    if len(factors) == 1 or ("up_bias" in parts and not factors):
        yield HALF, (factors or [parts["up_bias"]])[0].name
    elif factors:
        yield from _of_pair(factors[0], factors[1], _shape(module, "down", target))
    if "alpha" in parts and math.prod(parts["alpha"].tensor.shape) != 1:
        yield MISSHAPEN, _line(parts["alpha"], "one number")
    for part in parts.keys() - {*FACTORS, "alpha"}:
        wanted = _shape(module, part, target)
        if _long(parts[part].tensor.shape) != _long(wanted):
            yield MISSHAPEN, _line(parts[part], f"{list(wanted)}")


def _of_pair(
    down: Part, up: Part, wanted: tuple[int, ...]
) -> Iterable[tuple[str, str]]:
    """Yield the problems of a pair for a tensor of the shape (out, in, ...)."""
    outputs, inputs = wanted[0], math.prod(wanted[1:])
    first, second = down.tensor.shape, up.tensor.shape
    if len(first) < 2 or math.prod(first[1:]) != inputs:
        yield MISSHAPEN, _line(down, f"[rank, {inputs}]")
    if len(second) < 2 or second[0] != outputs:
        yield MISSHAPEN, _line(up, f"[{outputs}, rank]")
    if len(first) < 2 or len(second) < 2:
        return
    rank, most = first[0], max(outputs, inputs)
    if math.prod(second[1:]) != rank or not 1 <= rank <= most:
        yield (
            RANKS,
            f"{down.name}: {list(first)}, and {up.name}: {list(second)}; the rank is "
            f"one number from 1 to {most}",
        )


def _shape(module: str, part: str, target: Target) -> tuple[int, ...]:
    entry: Entry | None = target.names.find(module, part)
    assert entry is not None, "others are listed before"
    return target.shape(entry)


def _long(shape: Iterable[int]) -> tuple[int, ...]:
    """Leave out axes of length one, which programs add and drop."""
    return tuple(length for length in shape if length != 1)


def _line(part: Part, wanted: str) -> str:
    return f"{part.name}: {list(part.tensor.shape)} in the file, {wanted} wanted"

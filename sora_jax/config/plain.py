"""Convert configs to plain data and back, and check their fields."""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any

import msgspec

from sora_jax.config.renamed import with_new_names
from sora_jax.files import quoted

# A union, since beartype does not accept an int as a float.
Number = int | float
# (least, most) frames per second that video formats can store.
FPS = (1 / 1001, 1000.0)


def require(condition: bool, message: str) -> None:
    """Raise a ValueError with a message, unless a condition holds."""
    if not condition:
        raise ValueError(message)


def require_fps(fps: Any) -> None:
    """Check that a value is a frame rate that video formats can store.

    Raises:
      ValueError: gives the range.
    """
    low, high = FPS
    is_number = isinstance(fps, (int, float)) and not isinstance(fps, bool)
    require(
        is_number and low <= fps <= high,
        f"--fps must be from {low:.3g} to {high:.0f}, got {fps!r}",
    )


def require_size(size: Any) -> None:
    """Check that a value is (height, width) in pixels.

    Raises:
      ValueError: it is not.
    """
    require(
        isinstance(size, (tuple, list))
        and len(size) == 2
        and all(isinstance(side, int) and side >= 1 for side in size),
        f"size must be (height, width) in pixels, got {size!r}",
    )


def require_within(
    section: str,
    config: Any,
    bounds: Mapping[str, tuple[Number, Number]],
    *rules: tuple[bool, str],
) -> None:
    """Raise one ValueError that lists all problems of a config.

    Args:
      section: prefix of field names in messages.
      config: to check.
      bounds: (least, most) by field.
      rules: further (condition, message) pairs.
    """
    problems = [
        f"{section}{name} must be {_span(low, high)}, got {getattr(config, name)}"
        for name, (low, high) in bounds.items()
        if not low <= getattr(config, name) <= high
    ]
    problems += [message for holds, message in rules if not holds]
    require(not problems, "\n".join(problems))


def _span(low: Number, high: Number) -> str:
    return f">= {low}" if high == math.inf else f"from {low} to {high}"


def to_json(config: Any) -> dict[str, Any]:
    """Convert a config to plain data, with the name of its type.

    Fields of several possible types have the names of theirs.
    """
    data = {"kind": type(config).__name__, **dataclasses.asdict(config)}
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if _choices(hints[field.name]):
            data[field.name] = to_json(value)
        elif _choices(_item(hints[field.name])):
            data[field.name] = [to_json(each) for each in value]
    return data


def _item(hint: Any) -> Any:
    """Return the type of the items, if a field holds any number of them."""
    item, *more = typing.get_args(hint) or (None,)
    is_sequence = typing.get_origin(hint) is tuple and more == [...]
    return item if is_sequence else None


def _choices(hint: Any) -> tuple[type, ...]:
    """Return the dataclasses that a field may hold, if they are several."""
    if not isinstance(hint, types.UnionType):
        return ()
    members = typing.get_args(hint)
    return members if all(map(dataclasses.is_dataclass, members)) else ()


def _chosen(choices: tuple[type, ...], data: Any) -> type:
    """Return the dataclass that data names; the first if it names none."""
    named = data.get("kind") if isinstance(data, dict) else None
    return next((kind for kind in choices if kind.__name__ == named), choices[0])


def from_json(kind: Any, data: Any, *, whole: bool = False) -> Any:
    """Build a config dataclass from the data of `to_json` or `dataclasses.asdict`.

    Args:
      kind: the dataclass.
      data: its fields, nested.
      whole: refuse data that lacks a field, instead of using the current default, which
        could change what weights compute.

    Raises:
      ValueError: the data has unknown fields, or lacks some.
    """
    if not isinstance(data, dict):
        raise ValueError(f"{kind.__name__} must be an object, got {quoted(data)}")
    made_by = data.get("kind", kind.__name__)
    require(
        made_by == kind.__name__,
        f"this is the folder of a {made_by}, where a {kind.__name__} is needed: give "
        "another folder",
    )
    hints = typing.get_type_hints(kind)
    hints = {field.name: hints[field.name] for field in dataclasses.fields(kind)}
    data = {name: value for name, value in data.items() if name != "kind"}
    data = with_new_names(kind.__name__, data)
    unknown = sorted(set(data) - set(hints))
    require(
        not unknown,
        f"{kind.__name__} has no field {unknown}: these weights or this run are of "
        "another version of sora_jax",
    )
    missing = [name for name in hints if whole and name not in data]
    require(
        not missing,
        f"{kind.__name__} lacks {missing}: these weights are of an earlier version; "
        "export them again",
    )
    values, problems = {}, []
    for name, value in data.items():
        hint = hints[name]
        if choices := _choices(hint):
            hint = _chosen(choices, value)
        elif (choices := _choices(_item(hint))) and isinstance(value, list | tuple):
            items = [(_chosen(choices, each), each) for each in value]
            values[name] = tuple(from_json(*item, whole=whole) for item in items)
            continue
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            values[name] = from_json(hint, value, whole=whole)
            continue
        try:
            values[name] = msgspec.convert(value, hint)
        except msgspec.ValidationError as error:
            problems.append(f"{kind.__name__}.{name}: {error}, got {quoted(value)}")
    require(not problems, "\n".join(problems))
    return kind(**values)


def updated_config(kind: Any, data: dict[str, Any]) -> dict[str, Any]:
    """Update the data of a config of an earlier version: rename fields, add defaults.

    Unknown fields stay, to be reported.
    """
    try:
        return json.loads(json.dumps(to_json(from_json(kind, data))))
    except ValueError:
        return data

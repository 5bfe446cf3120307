"""Convert the arguments of tasks: paths, arrays, objects or texts.

The command line passes texts, JSON passes plain data, Python also arrays; each argument
is converted to one type. Needs no JAX.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from sora_jax import cli
from sora_jax.config import Direction
from sora_jax.data.storyboard import StoryboardFile
from sora_jax.files import existing, quoted
from sora_jax.sampling.converters import (
    argument_error,
    as_array,
    as_choice,
    as_clip,
    as_count,
    as_mask,
    as_number,
    as_picture,
    as_size,
    as_text,
    items_of,
    shape_of,
)
from sora_jax.sampling.tasks.inputs import Keyframe, Stretch

T = TypeVar("T")


def as_path(value: Any) -> str | None:
    """A path as text; None for anything else.

    Raises:
      ValueError: the path is empty.
    """
    if not isinstance(value, (str, os.PathLike)):
        return None
    path = os.fsdecode(value)
    if not path:
        raise ValueError("a path is empty: give the path of a file, or an array")
    return path


def as_video(value: Any, name: str) -> Any:
    """The path of a clip, or its frames."""
    return as_path(value) or as_clip(value, name)


def as_two_videos(value: Any, name: str) -> tuple[Any, Any]:
    """Two clips."""
    items = items_of(value, name, "two clips")
    if len(items) != 2:
        raise ValueError(f"{name} must be two clips, got {len(items)}")
    first, second = (as_video(item, f"{name}[{i}]") for i, item in enumerate(items))
    return first, second


def as_mask_input(value: Any, name: str) -> Any:
    """The path of a mask, or an array."""
    return as_path(value) or as_mask(value, name)


def as_noise(value: Any, name: str) -> Any:
    """The path of latents, or an array [t h w z] or [b t h w z]."""
    if path := as_path(value):
        return path
    dimensions = 4 if len(getattr(value, "shape", ())) == 4 else 5
    noise = as_array(value, name, dimensions, "[b t h w z] of latents")
    return noise[None] if noise.ndim == 4 else noise


def as_size_input(value: Any, name: str) -> tuple[int, int]:
    """(height, width); as text, WIDTHxHEIGHT."""
    return cli.parse_size(value, name) if isinstance(value, str) else as_size(value)


def as_direction(value: Any, name: str) -> Any:
    """The end at which a clip is extended."""
    return as_choice(value, get_args(Direction), name)


def as_spans(value: Any, name: str) -> tuple[tuple[Any, Any], ...]:
    """Pairs of seconds; as text, FROM:TO."""
    spans = []
    for i, span in enumerate(items_of(value, name, "(from, to) in seconds")):
        if isinstance(span, str):
            spans.append(parse_span(span, name))
            continue
        if shape_of(span) != (2,):
            raise argument_error(f"{name}[{i}]", "(from, to) in seconds", span)
        ends = [as_number(end, f"{name}[{i}]") for end in span]
        if not all(map(math.isfinite, ends)):
            raise argument_error(f"{name}[{i}]", "finite seconds", span)
        spans.append((ends[0], ends[1]))
    return tuple(spans)


def parse_span(text: str, name: str) -> tuple[float, float]:
    """Parse "FROM:TO" in seconds."""
    match = re.fullmatch(r"(\d*\.?\d+):(\d*\.?\d+)", text.strip())
    if match is None or len(text) > 50:
        raise ValueError(
            f"{name} must be FROM:TO in seconds, like 1:2.5, got {quoted(text)}"
        )
    return float(match[1]), float(match[2])


def as_keyframes(value: Any, name: str) -> tuple[Keyframe, ...]:
    """Keyframes; a single picture is the first frame's."""
    if hasattr(value, "shape"):
        return (Keyframe(picture=as_picture(value, name)),)
    items = [value] if as_path(value) else items_of(value, name, "Keyframes")
    return tuple(_as_keyframe(item, f"{name}[{i}]") for i, item in enumerate(items))


def as_pictures(value: Any, name: str) -> tuple[Any, ...]:
    """The paths of pictures, or arrays [1 h w 3]; a single one is a list of one."""
    is_single = hasattr(value, "shape") or as_path(value)
    items = [value] if is_single else items_of(value, name, "pictures")
    return tuple(
        as_path(item) or as_picture(item, f"{name}[{i}]")
        for i, item in enumerate(items)
    )


def _as_keyframe(value: Any, name: str) -> Keyframe:
    if path := as_path(value):
        return parse_keyframe(path, name)
    key = _as_struct(value, Keyframe, name)
    return dataclasses.replace(
        key,
        picture=as_path(key.picture) or as_picture(key.picture, f"{name}.picture"),
        frame=as_count(key.frame, f"{name}.frame"),
        strength=as_number(key.strength, f"{name}.strength"),
    )


def parse_keyframe(text: str, name: str) -> Keyframe:
    """Parse FILE, FILE@FRAME or FILE@FRAME:STRENGTH.

    Raises:
      ValueError: the text has another form.
    """
    match = re.fullmatch(r"(.+?)(?:@(-?\d{1,18})(?::(\d*\.?\d+))?)?", text, re.DOTALL)
    path, frame, strength = match.groups() if match else ("", None, None)
    if match is None or (frame is None and "@" in path and not _exists(path)):
        raise ValueError(
            f"{name.partition('[')[0]} {quoted(text)} must be FILE, FILE@FRAME or "
            "FILE@FRAME:STRENGTH, such as end.png@-1:0.8"
        )
    return Keyframe(picture=path, frame=int(frame or 0), strength=float(strength or 1))


def _exists(path: str) -> bool:
    try:
        existing(path, "image")
    except ValueError:
        return False
    return True


def as_story(value: Any, name: str) -> Any:
    """The path of a storyboard, what was read from it, or its stretches of time."""
    if isinstance(value, StoryboardFile):
        return value
    if path := as_path(value):
        return path
    items = items_of(value, name, "Stretches")
    return [_as_stretch(item, f"{name}[{i}]") for i, item in enumerate(items)]


def _as_stretch(value: Any, name: str) -> Stretch:
    one = _as_struct(value, Stretch, name)
    picture = one.picture
    if picture is not None:
        picture = as_path(picture) or as_picture(picture, f"{name}.picture")
    if not isinstance(one.cut, bool):
        raise argument_error(f"{name}.cut", "True or False", one.cut)
    return dataclasses.replace(
        one,
        frame=as_count(one.frame, f"{name}.frame"),
        prompt=as_text(one.prompt, f"{name}.prompt"),
        picture=picture,
    )


def _as_struct(value: Any, kind: type[T], name: str) -> T:
    """An instance of a dataclass, or a JSON object with its fields."""
    if isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        raise argument_error(name, f"a {kind.__name__}", value)
    fields = dataclasses.fields(kind)  # pyright: ignore[reportArgumentType]
    needed = {f.name for f in fields if f.default is dataclasses.MISSING}
    names = {f.name for f in fields}
    if not needed <= set(value) <= names:
        raise ValueError(
            f"{name} must have the fields {', '.join(sorted(names))} (needed: "
            f"{', '.join(sorted(needed))}), got {quoted(sorted(map(str, value)))}"
        )
    return kind(**value)

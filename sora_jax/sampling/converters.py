"""Convert arguments from Python, JSON or flags to one type each.

An error names the argument, the value and what is accepted. Needs no JAX.
"""

from __future__ import annotations

import dataclasses
import difflib
import numbers
import operator
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, get_args

import numpy as np
from jaxtyping import Float

from sora_jax.condition import Condition
from sora_jax.config import Cache, SamplingConfig, Solver, recipe_settings
from sora_jax.files import quoted
from sora_jax.sampling.magcache import Curve, read_curve

T = TypeVar("T")
# Items of a list, whatever the limits: converting more takes seconds.
MOST_ITEMS = 100_000

_TEXTS = frozenset(("negative_prompt",))
_COUNTS = frozenset(("steps", "frames", "window", "context", "tile", "cache_max_skips"))
_NUMBERS = frozenset(("guidance", "guidance_low", "shift", "fps"))
_NUMBERS |= {"cache_threshold", "cache_retention", "refine_overlap"}
_CHOICES = {"solver": Solver, "cache": Cache}
_OPTIONAL = frozenset(("window", "tile", "guidance_low", "refine_tile"))
_LISTS = frozenset(("sigmas",))


def argument_error(name: str, wanted: str, given: Any) -> ValueError:
    """Return the error for an argument that is not `wanted`."""
    return ValueError(f"{name} must be {wanted}, got {describe_value(given)}")


def describe_value(given: Any) -> str:
    """Describe a value in a few words; arrays by dtype and shape."""
    if hasattr(given, "shape") and hasattr(given, "dtype"):
        return f"an array {given.dtype}{list(given.shape)}"
    if isinstance(given, (list, tuple)) and any(hasattr(x, "shape") for x in given):
        return f"{len(given)} arrays in a list"
    return quoted(given)


def as_text(value: Any, name: str) -> str:
    """One text."""
    if not isinstance(value, str):
        raise argument_error(name, "one text", value)
    return value


def as_prompts(value: Any, name: str = "prompts") -> tuple[str, ...]:
    """One text, or one for each video."""
    texts = (value,) if isinstance(value, str) else items_of(value, name, "texts")
    return tuple(as_text(text, f"{name}[{i}]") for i, text in enumerate(texts))


def as_count(value: Any, name: str) -> int:
    """A whole number; one of NumPy's or JAX's is taken."""
    try:
        if isinstance(value, (bool, np.bool_)) or shape_of(value) != ():
            raise TypeError
        count = operator.index(value)
        if abs(count) >= 2**63:
            raise TypeError
        return count
    except (TypeError, ValueError) as error:
        raise argument_error(name, "a whole number", value) from error


def as_number(value: Any, name: str) -> int | float:
    """A number; one of NumPy's or JAX's is taken."""
    is_scalar = getattr(value, "shape", None) == ()
    is_number = isinstance(value, numbers.Real) or is_scalar
    try:
        if isinstance(value, (bool, np.bool_)) or not is_number:
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise argument_error(name, "a number", value) from error
    return value if isinstance(value, int) else number


def as_size(value: Any, name: str = "size") -> tuple[int, int]:
    """(height, width), at least 1 x 1."""
    wanted = "(height, width) in pixels"
    if isinstance(value, str) or shape_of(value) != (2,):
        raise argument_error(name, wanted, value)
    try:
        height, width = (as_count(side, name) for side in value)
    except ValueError as error:
        raise argument_error(name, wanted, value) from error
    if min(height, width) < 1:
        raise argument_error(name, wanted, value)
    return height, width


def as_choice(value: Any, choices: Sequence[str], name: str) -> Any:
    """One of the choices."""
    if not isinstance(value, str) or value not in choices:
        raise argument_error(name, f"one of {', '.join(choices)}", value)
    return value


def as_array(
    value: Any, name: str, dimensions: int, wanted: str
) -> Float[np.ndarray, "..."]:
    """An array of floats, NumPy or JAX, with `dimensions` axes."""
    if not (hasattr(value, "shape") and hasattr(value, "dtype")):
        raise argument_error(name, f"an array {wanted}", value)
    if len(value.shape) != dimensions:
        raise argument_error(name, f"an array {wanted}", value)
    array = np.asarray(value)
    if array.dtype.kind != "f" and array.dtype.name != "bfloat16":
        raise argument_error(name, f"an array of floats {wanted}", value)
    with np.errstate(
        over="ignore"
    ):  # overflow gives infinity, which the caller rejects
        return array.astype(np.float32, copy=False)


def as_clip(value: Any, name: str = "clip") -> Float[np.ndarray, "t h w 3"]:
    """Frames in [-1, 1]."""
    wanted = "[t h w 3] in [-1, 1]"
    clip = as_array(value, name, 4, wanted)
    if clip.shape[3] != 3 or not clip.size:
        raise argument_error(name, f"an array {wanted} with a frame or more", value)
    if not -1.001 <= clip.min() <= clip.max() <= 1.001:  # also rejects NaN
        raise ValueError(
            f"{name} must hold floats in [-1, 1], got {clip.min():g} to "
            f"{clip.max():g}: see sora_jax.data.video.to_float"
        )
    return clip


def as_mask(value: Any, name: str = "mask") -> Float[np.ndarray, "t h w"]:
    """An array of 0 and 1, or of booleans."""
    if getattr(value, "dtype", None) in (bool, np.uint8, np.int32, np.int64):
        value = np.asarray(value).astype(np.float32)
    return as_array(value, name, 3, "[t h w] of 0 and 1")


def as_condition(value: Any, name: str = "condition") -> Condition:
    """A `Condition`: given pixels and their mask."""
    if not isinstance(value, Condition):
        raise argument_error(name, "a Condition", value)
    return Condition(
        pixels=as_clip(value.pixels, f"{name}.pixels"),
        mask=as_mask(value.mask, f"{name}.mask"),
    )


def as_picture(value: Any, name: str) -> Float[np.ndarray, "1 h w 3"]:
    """One frame in [-1, 1]."""
    picture = as_clip(value, name)
    if len(picture) != 1:
        raise argument_error(name, "an array [1 h w 3] of one frame", value)
    return picture


def as_clips(value: Any, name: str) -> Float[np.ndarray, "b t h w 3"]:
    """Several clips of one shape, in [-1, 1]."""
    clips = as_array(value, name, 5, "[b t h w 3] in [-1, 1]")
    for number, clip in enumerate(clips):
        as_clip(clip, f"{name}[{number}]")
    return clips


def as_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `SamplingConfig`; a `recipe` is those that it sets.

    Settings beside a recipe count more than the recipe's own.

    Raises:
      ValueError: names every unknown field and every value of a wrong type.
    """
    known = [field.name for field in dataclasses.fields(SamplingConfig)]
    problems, settings, recipe = [], {}, {}
    for name, value in given.items():
        try:
            if name == "recipe":
                recipe = {} if value is None else recipe_settings(value)
                continue
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]}?" if near else "see SamplingConfig"
                raise ValueError(f"{name} is not a setting: {hint}")
            settings[name] = _as_setting(name, value)
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))
    return recipe | settings


def _as_setting(name: str, value: Any) -> Any:
    if value is None and name in _OPTIONAL:
        return None
    if name in _COUNTS:
        return as_count(value, name)
    if name in _NUMBERS:
        return float(as_number(value, name))
    if name in _TEXTS:
        return as_text(value, name)
    if name in _LISTS:
        items = items_of(value, name, "numbers")
        return tuple(float(as_number(x, f"{name}[{i}]")) for i, x in enumerate(items))
    if name in ("size", "refine_tile"):
        return as_size(value, name)
    if name == "cache_curve":
        return as_curve(value)
    return as_choice(value, get_args(_CHOICES[name]), name)


def as_curve(value: Any, name: str = "cache_curve") -> Curve:
    """A file of `sampling.calibration`, or the (time, ratio) pairs that it holds."""
    if isinstance(value, (str, os.PathLike)):
        return read_curve(value, name)
    pairs = [items_of(pair, name, "numbers") for pair in items_of(value, name, "pairs")]
    if any(len(pair) != 2 for pair in pairs):
        raise argument_error(name, "a file, or (time, ratio) pairs", value)
    return tuple(
        (float(as_number(a, name)), float(as_number(b, name))) for a, b in pairs
    )


def as_function(value: Any, name: str) -> Callable:
    """A callable."""
    if not callable(value):
        raise argument_error(name, "a function", value)
    return value


def items_of(value: Any, name: str, wanted: str) -> list[Any]:
    """The items of a list."""
    is_one = isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable)
    try:
        if is_one:
            raise TypeError
        items = list(value)
    except TypeError as error:  # also a 0-d array
        raise argument_error(name, f"a list of {wanted}", value) from error
    if len(items) > MOST_ITEMS:
        raise ValueError(f"{name} must be at most {MOST_ITEMS:,}, got {len(items):,}")
    return items


def shape_of(value: Any) -> tuple[int, ...] | None:
    """The shape of an array or of nested lists; None if it has none."""
    try:
        return np.shape(value)
    except ValueError:  # ragged lists
        return None

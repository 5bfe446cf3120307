"""Nested dicts of parameters: chosen by a filter on their paths, and merged.

A path is written as "dit/blocks/up/kernel"; its first part is the network's name.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from flax.traverse_util import flatten_dict, unflatten_dict

Params = dict[str, Any]
Path = tuple[Any, ...]

# Filters that have a name. Any other is a regular expression of paths.
FILTERS = {
    "all": ".*",
    "adapters": ".*/lora_(down|up)",
    # Of a VAE: latents stay as they are, and with them what was trained on them.
    "decoder": "vae/decoder|critic",
}


def trainable_pattern(trainable: str) -> re.Pattern[str]:
    """The pattern that a filter stands for; it also matches all below a path.

    Raises:
      ValueError: it is no regular expression.
    """
    pattern = FILTERS.get(trainable, trainable)
    try:
        return re.compile(f"(?:{pattern})(?:/.*)?")
    except re.error as error:
        raise ValueError(
            f"trainable must be {', '.join(map(repr, FILTERS))}, the name of a network "
            f"or a regular expression of paths, got {trainable!r} ({error})"
        ) from error


def split_trainable(params: Mapping[str, Any], trainable: str) -> tuple[Params, Params]:
    """The parameters that a filter chooses, and all others; either may be empty."""
    pattern, flat = trainable_pattern(trainable), flatten_dict(params)
    chosen = {path for path in flat if pattern.fullmatch(path_name(path))}
    return (
        unflatten_dict({path: x for path, x in flat.items() if path in chosen}),
        unflatten_dict({path: x for path, x in flat.items() if path not in chosen}),
    )


def require_match(params: Mapping[str, Any], trainable: str) -> None:
    """Refuse a filter that chooses nothing.

    Raises:
      ValueError: names the filter, and paths that are close to it.
    """
    if not split_trainable(params, trainable)[0]:
        parts = {
            name.rsplit("/", cut)[0] for name in path_names(params) for cut in range(9)
        }
        close = difflib.get_close_matches(trainable, sorted(parts), 4, 0.0)
        raise ValueError(
            f"trainable {trainable!r} matches no parameter: there are, for example, "
            f"{', '.join(map(repr, close))}"
        )


def merge(*trees: Mapping[str, Any]) -> Params:
    """One tree of several; of a parameter that several have, the last one's."""
    merged: dict[Path, Any] = {}
    for tree in trees:
        merged |= flatten_dict(tree)
    return unflatten_dict(merged)


def restrict(tree: Mapping[str, Any], like: Mapping[str, Any]) -> Params:
    """The parameters of a tree whose paths another one has too."""
    wanted = flatten_dict(like)
    flat = flatten_dict(tree)
    return unflatten_dict({path: flat[path] for path in flat if path in wanted})


def path_names(tree: Mapping[str, Any]) -> list[str]:
    """The paths of a tree as they are written."""
    return [path_name(path) for path in flatten_dict(tree)]


def path_name(path: Path) -> str:
    """A path as filters and messages have it."""
    return "/".join(map(str, path))

"""Nested dicts of parameters: chosen by a filter on their paths, and merged.

A path is written as "dit/blocks/up/kernel"; its first part is the network's name.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from flax.traverse_util import flatten_dict, unflatten_dict

from sora_jax.config.trainable import trainable_pattern

Params = dict[str, Any]
Path = tuple[Any, ...]


def split_trainable(params: Mapping[str, Any], trainable: str) -> tuple[Params, Params]:
    """The parameters that a filter chooses, and all others; either may be empty."""
    pattern, flat = trainable_pattern(trainable), flatten_dict(params)
    chosen = {path for path in flat if pattern.fullmatch(written(path))}
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
        parts = {name.rsplit("/", cut)[0] for name in names(params) for cut in range(9)}
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


def names(tree: Mapping[str, Any]) -> list[str]:
    """The paths of a tree as they are written."""
    return [written(path) for path in flatten_dict(tree)]


def written(path: Path) -> str:
    """A path as filters and messages have it."""
    return "/".join(map(str, path))

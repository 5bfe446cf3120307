"""Nested dicts of parameters: split by a filter on their paths, and merged.

A path is written as "dit/blocks/up/kernel"; it begins with the network's name.
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
    """Split parameters into those that a filter matches and all others."""
    pattern, flat = trainable_pattern(trainable), flatten_dict(params)
    chosen = {path for path in flat if pattern.fullmatch(path_name(path))}
    return (
        unflatten_dict({path: x for path, x in flat.items() if path in chosen}),
        unflatten_dict({path: x for path, x in flat.items() if path not in chosen}),
    )


def require_match(params: Mapping[str, Any], trainable: str) -> None:
    """Check that a filter matches a parameter.

    Raises:
      ValueError: names the filter, and similar paths.
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
    """Merge trees; later ones override earlier ones."""
    merged: dict[Path, Any] = {}
    for tree in trees:
        merged |= flatten_dict(tree)
    return unflatten_dict(merged)


def restrict(tree: Mapping[str, Any], like: Mapping[str, Any]) -> Params:
    """Return the parameters whose paths exist in another tree."""
    wanted = flatten_dict(like)
    flat = flatten_dict(tree)
    return unflatten_dict({path: flat[path] for path in flat if path in wanted})


def path_names(tree: Mapping[str, Any]) -> list[str]:
    """Return the paths of a tree as text."""
    return [path_name(path) for path in flatten_dict(tree)]


def path_name(path: Path) -> str:
    """Return a path as text, as in filters and messages."""
    return "/".join(map(str, path))

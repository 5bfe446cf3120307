"""Nested dicts of parameters: chosen by a filter on their paths, split and merged.

A path is written as "dit/blocks/up/kernel"; its first part is the network's name.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
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


def compiled(trainable: str) -> re.Pattern[str]:
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


def select(paths: Iterable[Path], trainable: str) -> frozenset[Path]:
    """The paths that a filter chooses.

    Raises:
      ValueError: it chooses none; names the filter and paths that are close to it.
    """
    named = {"/".join(map(str, path)): path for path in paths}
    pattern = compiled(trainable)
    chosen = frozenset(named[name] for name in named if pattern.fullmatch(name))
    if not chosen:
        parts = {name.rsplit("/", cut)[0] for name in named for cut in range(9)}
        close = difflib.get_close_matches(trainable, sorted(parts), 4, 0.0)
        raise ValueError(
            f"trainable {trainable!r} matches no parameter: there are, for example, "
            f"{', '.join(map(repr, close))}"
        )
    return chosen


def split(params: Mapping[str, Any], chosen: frozenset[Path]) -> tuple[Params, Params]:
    """The parameters of the chosen paths, and all others."""
    flat = flatten_dict(params)
    return (
        unflatten_dict({path: flat[path] for path in flat if path in chosen}),
        unflatten_dict({path: flat[path] for path in flat if path not in chosen}),
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
    return ["/".join(map(str, path)) for path in flatten_dict(tree)]

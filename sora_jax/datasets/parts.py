"""Divide the clips of a dataset into parts, which are built apart."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter

from etils import epath

from sora_jax import hashes
from sora_jax.data.sources.tfds_store import LEFT_OUT
from sora_jax.datasets.records import Recipe
from sora_jax.files import quoted
from sora_jax.workdir import read_json, write_json

_RECIPE = "recipe.json"  # of a part: the hash of the recipe that it is built by
PART_CLIPS = 1024  # clips in a part, unless parts are given


@dataclasses.dataclass(frozen=True)
class Part:
    """Which of the clips: every `of`-th, from clip `number`."""

    number: int
    of: int

    @property
    def name(self) -> str:
        """Of the part's BuilderConfig, and of its folder."""
        return f"part-{self.number:05d}-of-{self.of:05d}"


WHOLE = Part(0, 1)


def parts_of(recipe: Recipe, count: int = 0, workers: int = 1) -> list[Part]:
    """Return the parts of a dataset.

    Args:
      recipe: of the dataset.
      count: how many parts; 0 chooses by the number of clips.
      workers: number of processes that build parts.

    Raises:
      ValueError: two clips have one key.
    """
    keys = [key for names in recipe.splits().values() for key in names]
    twice = [key for key, number in Counter(keys).items() if number > 1]
    if twice:
        raise ValueError(
            f"{len(twice)} keys belong to several clips, such as {quoted(twice[0])}: "
            "give each clip a name of its own"
        )
    enough = max(math.ceil(len(keys) / PART_CLIPS), min(workers, len(keys)))
    of = count or max(1, enough)
    return [Part(number, of) for number in range(of)]


def keys_of(recipe: Recipe, part: Part) -> dict[str, list[str]]:
    """Return the keys of a part, by split; splits without keys are left out."""
    every = [(split, key) for split, keys in recipe.splits().items() for key in keys]
    mine: dict[str, list[str]] = {}
    for split, key in every[part.number :: part.of]:
        mine.setdefault(split, []).append(key)
    return mine


def count_parts(folder: epath.Path) -> int:
    """Return the number of parts of a dataset that was begun; 0 if none was."""
    parts = sorted(path.name for path in folder.glob("part-*-of-*"))
    return int(parts[0].rpartition("-")[2]) if parts else 0


def complete_parts(folder: epath.Path) -> int:
    """Return how many parts of a dataset are complete."""
    return len(list(folder.glob(f"part-*-of-*/*/{LEFT_OUT}")))


def refuse_other_parts(folder: epath.Path, part: Part) -> None:
    """Refuse to build into a dataset that is divided otherwise.

    Raises:
      ValueError: names its number of parts.
    """
    for path in folder.glob("part-*-of-*"):
        if not path.name.endswith(part.name[-9:]):
            raise ValueError(
                f"{str(folder)!r} holds {path.name}, of another number of parts than "
                f"{part.of}: give the former number, or delete the folder"
            )


def recipe_hash(recipe: Recipe) -> str:
    """Hash the keys of a recipe, and what decides its clips."""
    splits = {split: list(keys) for split, keys in recipe.splits().items()}
    return hashes.of_json({"splits": splits, "inputs": recipe.inputs()})


def refuse_other_recipe(folder: epath.Path, part: Part, digest: str) -> None:
    """Refuse to build into a dataset of other clips; note the recipe of a new part.

    Args:
      folder: of the dataset.
      part: that is built.
      digest: hash of its recipe.

    Raises:
      ValueError: files, captions, curation or config have changed.
    """
    own = folder / part.name / _RECIPE
    # Each part was compared with the first one when it was begun.
    others = sorted(folder.glob(f"part-*-of-*/{_RECIPE}"))[:1]
    for path in [*others, *([own] if own.exists() else [])]:
        kept = read_json(path, "delete the folder, and build again").get("hash")
        if kept != digest:
            raise ValueError(
                f"{str(folder)!r} was begun with other clips: files, captions, "
                "curation or config have changed since. Give another --data_dir, or "
                "delete the folder"
            )
    if not own.exists():
        write_json(own, {"hash": digest})

"""Which characters come near a word that no caption has, such as "kitten".

`near_names.csv` lists them: other words for the same thing, or a kind that is shown for
one that is not.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Collection, Iterator
from importlib import resources

from sora_jax.models.tokenizer import words_of

# What every model that has learned the characters has read in captions.
CHARACTERS = frozenset({"woman", "cat", "face", "astronaut"})


@functools.cache
def near_names() -> dict[str, tuple[str, ...]]:
    """Return the names of characters by words that they come near."""
    with (
        resources.files("sora_jax.datasets.fluent_emoji")
        .joinpath("near_names.csv")
        .open("rb") as file
    ):
        rows = csv.DictReader(file.read().decode().splitlines())
        return {row["word"]: tuple(row["names"].split(";")) for row in rows}


def doubts(prompt: str, vocabulary: Collection[str]) -> Iterator[str]:
    """Yield what a model knows that comes near the unknown words of a prompt.

    Args:
      prompt: of a user.
      vocabulary: every word of the training captions; without the characters' words,
        nothing is yielded.
    """
    known = set(vocabulary)
    if not known >= CHARACTERS:
        return
    for word in sorted(words_of(prompt) - known):
        names = [
            repr(name) for name in near_names().get(word, ()) if words_of(name) <= known
        ]
        if names:
            yield f"knows {' and '.join(names)}, but not {word!r}"

"""Which characters come near a word that no caption has.

`keywords.csv` is made from the keywords of emojilib 4.0.3 (MIT) by `near_words`, given
its `emoji-en-US.json`.
"""

from __future__ import annotations

import csv
import functools
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib import resources

from sora_jax.datasets.fluent_emoji.captions import captions_of, noun_of
from sora_jax.datasets.fluent_emoji.characters import base_of, characters
from sora_jax.models.tokenizer import words_of

MOST_NAMES = 3  # for a word
_COMMON = 12  # characters: a word that more of them have tells none apart


@functools.cache
def keywords() -> dict[str, tuple[str, ...]]:
    """Return the names of characters by words that come near them."""
    with (
        resources.files("sora_jax.datasets.fluent_emoji")
        .joinpath("keywords.csv")
        .open("rb") as file
    ):
        rows = csv.DictReader(file.read().decode().splitlines())
        return {row["word"]: tuple(row["names"].split(";")) for row in rows}


def doubts(prompt: str, vocabulary: Collection[str]) -> Iterator[str]:
    """Yield what a model knows that comes near the unknown words of a prompt.

    Args:
      prompt: of a user.
      vocabulary: every word of the training captions.
    """
    for word in sorted(words_of(prompt) - set(vocabulary)):
        names = [
            repr(name)
            for name in keywords().get(word, ())
            if words_of(name) <= set(vocabulary)
        ]
        if names:
            yield f"knows {' and '.join(names)}, nearest to {word!r}"


def near_words(keywords: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Turn the keywords of emoji around: names of characters by words unknown to them.

    Args:
      keywords: by emoji, most telling first.
    """
    by_code = {_code(emoji): words for emoji, words in keywords.items()}
    shown = [each for each in characters() if each.is_in_mit_set]
    known = {
        word for each in shown for text in captions_of(each) for word in words_of(text)
    }
    ranks: dict[str, dict[str, int]] = defaultdict(dict)
    for character in {each.base: each for each in shown}.values():
        for rank, keyword in enumerate(by_code.get(character.base, ())):
            word = keyword.lower()
            if re.fullmatch(r"[a-z]{3,}", word) and word not in known:
                ranks[word].setdefault(noun_of(character), rank)
    return {
        word: tuple(sorted(names, key=lambda name: (names[name], name))[:MOST_NAMES])
        for word, names in sorted(ranks.items())
        if len(names) <= _COMMON
    }


def _code(emoji: str) -> str:
    return base_of("-".join(f"{ord(part):x}" for part in emoji))

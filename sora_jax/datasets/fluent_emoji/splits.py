"""Which clips are held out: of each role and gender one tone of skin.

Each pair (role, gender), (role, tone) and (gender, tone) of these triples is shown by a
training clip of the MIT-licensed set, the triples are not: a model that has only
memorized pictures cannot draw them.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable, Sequence

from sora_jax.datasets.fluent_emoji.characters import GENDERS, TONES, Character

TRAIN, VALIDATION, COMPOSITION = "train", "validation", "test_composition"
ONE_IN = 40  # clips of these are validation clips


def split_of(
    characters: Sequence[Character],
) -> dict[str, tuple[Character, ...]]:
    """Return the characters of each split."""
    chosen = held_out_triples(characters)
    held_out = [each for each in characters if _triple(each) in chosen]
    # How many clips show each pair, of those whose models may be shipped.
    shown = _shown(each for each in characters if _triple(each) not in chosen)
    wanted = {pair for each in held_out for pair in pairs_of(each)}
    splits: dict[str, list[Character]] = {TRAIN: [], VALIDATION: []}
    for character in characters:
        if _triple(character) in chosen:
            continue
        pairs = _shown([character])
        is_needed = any(shown[pair] == 1 for pair in pairs if pair in wanted)
        if character.tone and _hash(character.file) % ONE_IN == 0 and not is_needed:
            splits[VALIDATION].append(character)
            shown -= pairs
        else:
            splits[TRAIN].append(character)
    splits[COMPOSITION] = held_out
    return {name: tuple(members) for name, members in splits.items()}


def pairs_of(character: Character) -> set[tuple[str, str, str, str]]:
    """Return the pairs of role, gender and tone, with the names of both."""
    names = ("role", "gender", "tone")
    return {
        (one, getattr(character, one), other, getattr(character, other))
        for one, other in itertools.combinations(names, 2)
    }


def _shown(characters: Iterable[Character]) -> Counter[tuple[str, str, str, str]]:
    """Count the pairs that clips of the MIT-licensed set show."""
    return Counter(
        pair for each in characters if each.is_in_mit_set for pair in pairs_of(each)
    )


def _triple(character: Character) -> tuple[str, str, str]:
    return character.role, character.gender, character.tone


def held_out_triples(characters: Sequence[Character]) -> set[tuple[str, str, str]]:
    """Return (role, gender, tone): of role i and gender g, tone i + 2g (mod 5).

    Roles are those of men and women alike, in the order of their names. A triple is
    not held out if no other clip shows one of its pairs.
    """
    genders: dict[str, set[str]] = {}
    for character in characters:
        if character.role and character.tone in TONES:
            genders.setdefault(character.role, set()).add(character.gender)
    roles = sorted(role for role, found in genders.items() if {"man", "woman"} <= found)
    chosen = {
        (role, gender, TONES[(i + 2 * g) % len(TONES)])
        for i, role in enumerate(roles)
        for g, gender in enumerate(GENDERS)
    }
    shown = _shown(each for each in characters if _triple(each) not in chosen)
    alone = {
        _triple(each)
        for each in characters
        if _triple(each) in chosen and not all(shown[pair] for pair in pairs_of(each))
    }
    return chosen - alone


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")

"""Which clips are held out: of each role and gender one tone of skin.

Every pair (role, gender), (role, tone) and (gender, tone) is trained on, the triples
are not: a model that has only memorized pictures cannot draw them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from sora_jax.datasets.fluent_emoji.characters import GENDERS, TONES, Character

TRAIN, VALIDATION, COMPOSITION = "train", "validation", "test_composition"
ONE_IN = 40  # clips of these are validation clips


def split_of(
    characters: Sequence[Character],
) -> dict[str, tuple[Character, ...]]:
    """Return the characters of each split."""
    held_out = held_out_triples(characters)
    splits: dict[str, list[Character]] = {TRAIN: [], VALIDATION: [], COMPOSITION: []}
    for character in characters:
        if (character.role, character.gender, character.tone) in held_out:
            splits[COMPOSITION].append(character)
        elif character.tone and _hash(character.file) % ONE_IN == 0:
            splits[VALIDATION].append(character)
        else:
            splits[TRAIN].append(character)
    return {name: tuple(members) for name, members in splits.items()}


def held_out_triples(characters: Sequence[Character]) -> set[tuple[str, str, str]]:
    """Return (role, gender, tone): of role i and gender g, tone i + 2g (mod 5).

    Roles are those of men and women alike, in the order of their names.
    """
    genders: dict[str, set[str]] = {}
    for character in characters:
        if character.role and character.tone in TONES:
            genders.setdefault(character.role, set()).add(character.gender)
    roles = sorted(role for role, found in genders.items() if {"man", "woman"} <= found)
    return {
        (role, gender, TONES[(i + 2 * g) % len(TONES)])
        for i, role in enumerate(roles)
        for g, gender in enumerate(GENDERS)
    }


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")

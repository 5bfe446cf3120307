"""The dataset `fluent_emoji`: artists' loops of three seconds, with transparency."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sora_jax.data.sources.probing import probe
from sora_jax.data.sources.resampling import read_at
from sora_jax.data.sources.stored import StoredSpec
from sora_jax.datasets.builder import ClipDataset
from sora_jax.datasets.fluent_emoji import packages, splits
from sora_jax.datasets.fluent_emoji.captions import HELD_OUT_PHRASINGS, captions_of
from sora_jax.datasets.fluent_emoji.characters import Character, characters
from sora_jax.datasets.records import StoredClip
from sora_jax.types import Caption

# Mean difference of first and last frame, of 255 and weighted by alpha, of a loop that
# closes.
CLOSES = 6.0


class FluentEmoji(ClipDataset):
    """Animated characters and things by professional artists, on nothing.

    From the packages @lobehub/fluent-emoji-anim-1 to -4 (MIT), which say that they come
    from Microsoft's Fluent Emoji (MIT). Captions are composed of Unicode's names and of
    what was seen in each clip.
    """


@dataclasses.dataclass(frozen=True)
class EmojiRecipe:
    """The clips of the packages.

    Attributes:
      archives: unpacked archive of each package.
      only_mit: leave out clips that the MIT-licensed repository does not have.
      among: the files to take; None takes all of the set.
    """

    archives: Mapping[int, Path]
    only_mit: bool = True
    among: frozenset[str] | None = None

    def chosen(self) -> tuple[Character, ...]:
        """Return the characters of the dataset."""
        return tuple(
            character
            for character in characters()
            if (character.is_in_mit_set or not self.only_mit)
            and (self.among is None or character.file in self.among)
        )

    def splits(self) -> Mapping[str, Sequence[str]]:
        """Return the files of each split.

        Held out is what the whole set holds out, whatever part of it is taken.
        """
        taken = {character.file for character in self.chosen()}
        return {
            name: [member.file for member in members if member.file in taken]
            for name, members in splits.split_of(characters()).items()
        }

    def inputs(self) -> Any:
        """Return the captions of each clip; files are checked when they are fetched."""
        return {character.file: captions_of(character) for character in self.chosen()}

    def clip(self, key: str) -> StoredClip:
        """Read a clip: the artists' file as it is.

        Raises:
          ValueError: the archive lacks it, or it cannot be read.
        """
        character = next(each for each in characters() if each.file == key)
        content = self._content(character)
        spec = probe(content, key)
        whole = Caption(texts=captions_of(character), start=0, stop=spec.frames)
        truth = {
            name: getattr(character, name)
            for name in ("name", "base", "gender", "role", "tone", "group")
        }
        truth["held_out_phrasings"] = captions_of(character, HELD_OUT_PHRASINGS)
        spec = dataclasses.replace(spec, captions=(whole,), truth=truth)
        gap = closing_gap(content, spec.frames / spec.fps, key)
        spec = dataclasses.replace(spec, scores={"closing_gap": gap})
        stored = StoredSpec(name=key, spec=spec, is_loop=gap <= CLOSES)
        return StoredClip(stored=stored, content=content)

    def _content(self, character: Character) -> bytes:
        archive = self.archives[character.package]
        where = packages.members(archive).get(character.file)
        if where is None:
            raise ValueError(f"{archive} has no clip {character.file}")
        offset, size = where
        with archive.open("rb") as file:
            file.seek(offset)
            return file.read(size)


def closing_gap(content: bytes, seconds: float, name: str) -> float:
    """Return the mean difference of first and last frame, of 255, at 64 x 64."""
    both = read_at(content, np.array([0.0, seconds]), (64, 64), name, has_alpha=True)
    first, last = both.astype(np.float32)
    weight = np.maximum(first[..., 3:], last[..., 3:]) / 255
    total = (np.abs(first[..., :3] - last[..., :3]) * weight).sum()
    return float(total / max(1.0, 3 * weight.sum()))

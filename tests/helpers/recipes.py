"""Recipes of small datasets, for tests of builders."""

from __future__ import annotations

import dataclasses
import errno
import os
from collections.abc import Mapping, Sequence

from sora_jax.data.sources.protocol import ClipSpec
from sora_jax.data.sources.stored import StoredSpec
from sora_jax.datasets.builder import ClipDataset
from sora_jax.datasets.records import StoredClip
from sora_jax.types import Caption


class Letters(ClipDataset):
    """Clips whose content is their key."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LetterRecipe:
    """Clips named after their split and number; some fail.

    Attributes:
      train: how many there are.
      validation: how many are held out.
      damaged: keys of clips that cannot be read.
      full_at: key of the clip at which the disk is full.
      killed_at: key of the clip at which the process dies.
      said: before the key, in a phrasing.
    """

    train: int = 6
    validation: int = 2
    damaged: tuple[str, ...] = ()
    full_at: str = ""
    killed_at: str = ""
    said: str = "the"

    def splits(self) -> Mapping[str, Sequence[str]]:
        return {
            "train": [f"t{number}" for number in range(self.train)],
            "validation": [f"v{number}" for number in range(self.validation)],
        }

    def inputs(self) -> str:
        return self.said

    def clip(self, key: str) -> StoredClip:
        if key == self.killed_at:
            os._exit(9)
        if key == self.full_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if key in self.damaged:
            raise ValueError(f"{key} is damaged")
        said = (Caption(texts=(key, f"{self.said} {key}"), start=0, stop=1),)
        spec = ClipSpec(frames=1, height=16, width=16, fps=1.0, captions=said)
        spec = dataclasses.replace(spec, scores={"length": float(len(key))})
        stored = StoredSpec(name=key, spec=spec)
        return StoredClip(stored=stored, content=key.encode())

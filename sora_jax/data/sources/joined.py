"""Clips of several sources as one source."""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Sequence
from itertools import accumulate

from sora_jax.data.sources.protocol import ClipSource, ClipSpec, Size
from sora_jax.types import Clip


@dataclasses.dataclass(frozen=True)
class JoinedClips:
    """The clips of several sources, one source after another."""

    sources: Sequence[ClipSource]

    def __len__(self) -> int:
        """Return the number of clips."""
        return sum(map(len, self.sources))

    def spec(self, index: int) -> ClipSpec:
        """Describe a clip."""
        source, at = self._locate(index)
        return source.spec(at)

    def read(
        self,
        index: int,
        start: int = 0,
        frames: int | None = None,
        size: Size | None = None,
    ) -> Clip:
        """Return a clip, or a part of it."""
        source, at = self._locate(index)
        return source.read(at, start, frames, size)

    def _locate(self, index: int) -> tuple[ClipSource, int]:
        """Return the source of a clip, and its index there."""
        index = range(len(self))[index]  # counts from the end if negative
        ends = list(accumulate(map(len, self.sources)))
        number = bisect.bisect_right(ends, index)
        return self.sources[number], index - (ends[number] - len(self.sources[number]))

"""Stored clips as a clip source: encoded files, read at one rate and bounded size.

A store holds encoded videos and pictures with captions (`folder`, `tfds_store`).
`StoredClips` reads them at the rate and sizes of a config: each keeps its aspect ratio,
long footage is several clips, and what scores too low is left out.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from sora_jax.config import ClipsConfig
from sora_jax.data.sources import resampling
from sora_jax.data.sources.protocol import (
    ClipSpec,
    Size,
    captions_between,
    frame_range,
)
from sora_jax.types import Caption, Clip


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoredSpec:
    """Metadata of a stored clip.

    Attributes:
      name: of the clip in its store; errors name it.
      spec: of the file: its own size, rate and number of frames.
      is_loop: whether its first frame follows its last.
      file_size: bytes of the file; 0 if unknown.
      file_hash: see `hashes.of_bytes`; "" if unknown.
    """

    name: str
    spec: ClipSpec
    is_loop: bool = False
    file_size: int = 0
    file_hash: str = ""

    @property
    def is_picture(self) -> bool:
        """Whether it is a single frame."""
        return self.spec.frames == 1

    @property
    def seconds(self) -> float:
        """Its duration; 0 for a picture."""
        return 0.0 if self.is_picture else self.spec.frames / self.spec.fps


@runtime_checkable
class ClipStore(Protocol):
    """Random access to encoded clips; picklable."""

    def __len__(self) -> int:
        """Return the number of stored clips."""
        ...

    def describe(self, index: int) -> StoredSpec:
        """Return the metadata of a clip without reading its file."""
        ...

    def content(self, index: int) -> bytes | UInt8[np.ndarray, "t h w 3"]:
        """Return the bytes of its video or picture file, or its frames.

        Raises:
          ValueError: it cannot be read.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Excerpt:
    """A part of a stored clip: frames from `start`, at the config's rate."""

    clip: int
    start: int
    frames: int


@dataclasses.dataclass(frozen=True)
class StoredClips:
    """The clips of a store (see `ClipSource`)."""

    store: ClipStore
    config: ClipsConfig
    excerpts: Sequence[Excerpt]

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.excerpts)

    def spec(self, index: int) -> ClipSpec:
        """Describe a clip without opening its file."""
        part = self.excerpts[index]
        stored = self.store.describe(part.clip)
        height, width = sized(stored.spec, self.config)
        captions = resampled(stored.spec.captions, stored.spec.fps, self.config.fps)
        return dataclasses.replace(
            stored.spec,
            frames=part.frames,
            height=height,
            width=width,
            fps=self.config.fps,
            captions=captions_of_excerpt(captions, part.start, part.frames),
        )

    def read(
        self,
        index: int,
        start: int = 0,
        frames: int | None = None,
        size: Size | None = None,
    ) -> Clip:
        """Decode a clip, or a part of it.

        Raises:
          ValueError: the file cannot be read, or has fewer frames than it says.
        """
        part, spec = self.excerpts[index], self.spec(index)
        start, stop = frame_range(spec, start, frames)
        return Clip(
            pixels=self._decode(part, start, stop, size or (spec.height, spec.width)),
            fps=spec.fps,
            captions=captions_between(spec.captions, start, stop),
        )

    def _decode(
        self, part: Excerpt, start: int, stop: int, size: Size
    ) -> UInt8[np.ndarray, "t h w c"]:
        stored = self.store.describe(part.clip)
        times = (part.start + np.arange(start, stop)) / self.config.fps
        if stored.is_loop:
            times = times % stored.seconds
        return resampling.read_at(
            self.store.content(part.clip),
            times,
            size,
            stored.name,
            has_alpha=stored.spec.has_alpha,
            fps=stored.spec.fps,
        )


def open_stored(store: ClipStore, config: ClipsConfig) -> StoredClips:
    """Choose the clips of a store that a config asks for.

    Raises:
      ValueError: none is left.
    """
    excerpts = []
    for number in range(len(store)):
        stored = store.describe(number)
        if passes(stored.spec, config) and is_large_enough(stored.spec, config):
            excerpts += excerpts_of(stored, number, config)
    if config.length:
        excerpts = excerpts[: config.length]
    if not excerpts:
        raise ValueError(
            f"data.path {config.path!r} has {len(store)} clips in split "
            f"{config.split!r}, of which data.cuts, data.least_frames "
            f"({config.least_frames}), data.frames and data.multiple "
            f"({config.multiple}) leave none: lower them"
        )
    return StoredClips(store, config, tuple(excerpts))


def passes(spec: ClipSpec, config: ClipsConfig) -> bool:
    """Return whether the scores of a clip are within the config's cuts."""
    return all(
        low <= spec.scores.get(name, low) <= high for name, low, high in config.cuts
    )


def is_large_enough(spec: ClipSpec, config: ClipsConfig) -> bool:
    """Return whether a clip need not be enlarged to be read."""
    return min(config.size) > 0 or min(spec.height, spec.width) >= config.multiple


def excerpts_of(
    stored: StoredSpec, number: int, config: ClipsConfig
) -> Iterator[Excerpt]:
    """Yield the excerpts of a stored clip, of 1 + time_factor * k frames each."""
    if stored.is_picture:
        if config.least_frames == 1:
            yield Excerpt(number, 0, 1)
        return
    # The slack is below any frame, and above the rounding of rates.
    frames = math.ceil(stored.seconds * config.fps - 1e-3)
    if stored.is_loop:
        frames += 1  # the first frame again closes the loop
    start = 0
    while (left := min(frames - start, config.frames)) >= config.least_frames:
        left -= (left - 1) % config.time_factor
        # A remainder of a single frame would be a picture of what was seen.
        if left < max(config.least_frames, 1 + config.time_factor * (start > 0)):
            return
        yield Excerpt(number, start, left)
        start += left


def sized(spec: ClipSpec, config: ClipsConfig) -> Size:
    """Return the (height, width) at which a clip is read: never larger than it is.

    A frame so long that its short side would vanish loses some of its long side.
    """
    if min(config.size) > 0:
        return config.size
    step = config.multiple
    scale = min(1.0, math.sqrt(config.pixels / (spec.height * spec.width)))
    most = config.pixels // step // step
    height, width = (
        min(most, max(1, math.floor(side * scale / step + 1e-6))) * step
        for side in (spec.height, spec.width)
    )
    return height, width


def resampled(
    captions: Sequence[Caption], before: float, after: float
) -> tuple[Caption, ...]:
    """Return captions whose frames are counted at another rate.

    Stretches follow one another without overlap; those that are left without a frame
    are left out.
    """
    ratio, end = after / before, max((each.stop for each in captions), default=0)
    counted = (
        dataclasses.replace(
            caption,
            start=round(caption.start * ratio),
            stop=math.ceil(end * ratio)
            if caption.stop == end
            else round(caption.stop * ratio),
        )
        for caption in captions
    )
    return tuple(caption for caption in counted if caption.start < caption.stop)


def captions_of_excerpt(
    captions: Sequence[Caption], start: int, frames: int
) -> tuple[Caption, ...]:
    """Return the captions of a part of a clip as those of a clip of its own.

    The caption of the whole clip may tell what the part does not show: a part with only
    some of its stretches has the texts of these.
    """
    if not captions:
        return ()
    whole, *stretches = captions
    shown = captions_between(stretches, start, start + frames)
    if not shown or len(shown) == len(stretches):
        texts = whole.texts
    else:
        texts = _one_after_another(shown)
    whole = Caption(texts=texts, start=0, stop=frames)
    if not shown or len(shown) == 1 < len(stretches):
        return (whole,)
    # The frame that closes a loop is beyond the end of its last stretch.
    last = dataclasses.replace(shown[-1], stop=frames)
    return (whole, *shown[:-1], last)


def _one_after_another(stretches: Sequence[Caption]) -> tuple[str, ...]:
    """Return a text of all stretches in each of their phrasings."""
    count = max(len(each.texts) for each in stretches)
    texts = (
        ", then ".join(each.texts[number % len(each.texts)] for each in stretches)
        for number in range(count)
    )
    return tuple(dict.fromkeys(texts))

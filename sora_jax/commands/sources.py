"""Open the clip sources of a config."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from jaxtyping import Bool

from sora_jax import hashes
from sora_jax.config import ClipsConfig, DataConfig
from sora_jax.data.sources.joined import JoinedClips
from sora_jax.data.sources.opening import open_store
from sora_jax.data.sources.protocol import ClipSource, ClipSpec, Sources
from sora_jax.data.sources.stored import StoredClips, StoredSpec, open_stored
from sora_jax.files import quoted
from sora_jax.worlds.playground.boxes import object_boxes
from sora_jax.worlds.playground.source import Playground, Truth

_logger = logging.getLogger(__name__)


def open_sources(data: DataConfig, held_out: int) -> Sources:
    """Open the clips of a run.

    Args:
      data: config of the training clips.
      held_out: number of clips of the test split, at most.

    Raises:
      ValueError: there are no such clips.
    """
    if isinstance(data, ClipsConfig):
        return _stored(data, held_out)
    test = dataclasses.replace(data, split="test", length=held_out)
    return Sources(
        train=Playground(data), held_out=Playground(test), subjects=_object_boxes
    )


def open_joined(data: DataConfig, more: Sequence[DataConfig], held_out: int) -> Sources:
    """Open clips for training and evaluation, and more for training alone.

    Raises:
      ValueError: there are no such clips, or evaluation clips are among the others.
    """
    first = open_sources(data, held_out)
    if not more:
        return first
    others = [open_training(each) for each in more]
    for number, other in enumerate(others):
        if isinstance(other, StoredClips) and isinstance(first.held_out, StoredClips):
            _refuse_common(other, first.held_out, f"more_data[{number}]")
    stored = [each for each in others if isinstance(each, StoredClips)]
    digests = [first.digest, *map(_digest, stored)]
    return Sources(
        train=JoinedClips([first.train, *others]),
        held_out=first.held_out,
        subjects=_object_boxes,
        digest=hashes.of_items(digests) if any(digests) else "",
    )


def open_training(data: DataConfig) -> ClipSource:
    """Open the training clips of a config.

    Raises:
      ValueError: there are no such clips.
    """
    if isinstance(data, ClipsConfig):
        return open_stored(open_store(data, data.split), data)
    return Playground(data)


def _stored(data: ClipsConfig, held_out: int) -> Sources:
    train = open_stored(open_store(data, data.split), data)
    test = dataclasses.replace(data, split=data.held_out, length=held_out)
    store = open_store(test, test.split)
    if not len(store):
        # A folder of one clip holds none out.
        _logger.warning(
            "data.path %r has no clips in split %r: evaluations use training clips",
            data.path,
            test.split,
        )
        test = dataclasses.replace(data, length=held_out)
        held = open_stored(train.store, test)
    else:
        held = open_stored(store, test)
        _refuse_common(train, held, "data")
    return Sources(train=train, held_out=held, digest=_digest(train, held))


def _refuse_common(train: StoredClips, held: StoredClips, field: str) -> None:
    """Refuse evaluation clips that are trained on.

    Raises:
      ValueError: names the splits, and a clip of both.
    """
    common = sorted(_names(train) & _names(held))
    if common:
        raise ValueError(
            f"{field}.split {train.config.split!r} and data.held_out "
            f"{held.config.split!r} have {len(common)} clips in common, such as "
            f"{quoted(common[0])}: give splits that share none, such as 'train' and "
            "'validation', or of a dataset 'train[5%:]' and 'train[:5%]'"
        )


def _names(clips: StoredClips) -> set[str]:
    return {clips.store.describe(part.clip).name for part in clips.excerpts}


def _digest(*sources: StoredClips) -> str:
    """Hash stored clips, by which a changed dataset is told."""
    return hashes.of_items(
        [_without_truth(source.store.describe(part.clip)), part.start, part.frames]
        for source in sources
        for part in source.excerpts
    )


def _without_truth(stored: StoredSpec) -> Any:
    # It is large, and the hash of the file covers what is seen of it.
    spec = dataclasses.replace(stored.spec, truth=None)
    return msgspec.to_builtins(dataclasses.replace(stored, spec=spec))


def _object_boxes(spec: ClipSpec) -> Bool[np.ndarray, "t h w"] | None:
    """Return where objects are, if the clip is of the playground."""
    return object_boxes(spec.truth.scene) if isinstance(spec.truth, Truth) else None

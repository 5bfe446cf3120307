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
from sora_jax.data.sources.protocol import ClipSpec, Sources
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


def open_joined(data: Sequence[DataConfig], held_out: int) -> Sources:
    """Open the clips of several configs as one; held-out clips are of the first.

    Raises:
      ValueError: there are no such clips.
    """
    first, *more = [open_sources(each, held_out) for each in data]
    if not more:
        return first
    digests = [each.digest for each in (first, *more)]
    return Sources(
        train=JoinedClips([each.train for each in (first, *more)]),
        held_out=first.held_out,
        subjects=_object_boxes,
        digest=hashes.of_items(digests) if any(digests) else "",
    )


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
        _refuse_common(train, held)
    return Sources(train=train, held_out=held, digest=_digest(train, held))


def _refuse_common(train: StoredClips, held: StoredClips) -> None:
    """Refuse evaluation clips that are trained on.

    Raises:
      ValueError: names the splits, and a clip of both.
    """
    common = sorted(_names(train) & _names(held))
    if common:
        raise ValueError(
            f"data.split {train.config.split!r} and data.held_out "
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

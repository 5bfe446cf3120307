"""The record of a clip in a TFDS dataset; `data.sources.tfds_records` reads it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import tensorflow_datasets as tfds

from sora_jax import hashes
from sora_jax.data.sources.stored import StoredSpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoredClip:
    """A clip as it is stored: its metadata and its encoded file."""

    stored: StoredSpec
    content: bytes


@runtime_checkable  # for the type checks of the tests
class Recipe(Protocol):
    """How a dataset is made: keys of clips by split, and the clip of each key.

    A recipe is picklable, and its clips can be made in any order.
    """

    def splits(self) -> Mapping[str, Sequence[str]]:
        """Return the keys of each split; a key is unique in the dataset."""
        ...

    def inputs(self) -> Any:
        """Return, as JSON data, what decides the clips beside their keys.

        A dataset that was begun with other inputs is not gone on with.
        """
        ...

    def clip(self, key: str) -> StoredClip:
        """Read or make a clip.

        Raises:
          ValueError: it cannot be read; says why.
        """
        ...


def features() -> tfds.features.FeaturesDict:
    """Return the features of a record."""
    text = tfds.features.Text
    return tfds.features.FeaturesDict(
        {
            "id": text(),
            # Bytes as they are: `features.Video` would need TensorFlow and ffmpeg.
            "video": np.object_,
            "file_size": np.int64,
            "file_hash": text(),
            "captions": tfds.features.Sequence(text()),
            # JSON: the captions of stretches of time.
            "stretches": text(),
            "frames": np.int32,
            "height": np.int32,
            "width": np.int32,
            "fps": np.float32,
            "has_alpha": np.bool_,
            "has_sound": np.bool_,
            "is_loop": np.bool_,
            "scores": tfds.features.Sequence({"name": text(), "value": np.float32}),
            # JSON: the ground truth of a simulated world.
            "truth": text(),
        }
    )


def to_example(clip: StoredClip) -> dict[str, Any]:
    """Return the record of a clip.

    Raises:
      ValueError: a caption of it is empty.
    """
    stored, spec = clip.stored, clip.stored.spec
    texts = [text for caption in spec.captions for text in caption.texts]
    if any(not text.strip() for text in texts):
        raise ValueError(f"{stored.name!r} has an empty caption: write one, or none")
    stretches = [dataclasses.asdict(caption) for caption in spec.captions[1:]]
    return {
        "id": stored.name,
        "video": clip.content,
        "file_size": len(clip.content),
        "file_hash": hashes.of_bytes(clip.content),
        "captions": list(spec.captions[0].texts) if spec.captions else [],
        "stretches": json.dumps(stretches),
        "frames": spec.frames,
        "height": spec.height,
        "width": spec.width,
        "fps": spec.fps,
        "has_alpha": spec.has_alpha,
        "has_sound": spec.has_sound,
        "is_loop": stored.is_loop,
        "scores": {
            "name": list(spec.scores),
            "value": [float(value) for value in spec.scores.values()],
        },
        "truth": "" if spec.truth is None else json.dumps(spec.truth),
    }

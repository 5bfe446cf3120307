"""Records of clips in TFDS datasets: of this package's builders, and of others."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from sora_jax import hashes
from sora_jax.data.sources.probing import probe
from sora_jax.data.sources.protocol import ClipSpec
from sora_jax.data.sources.stored import StoredSpec
from sora_jax.types import Caption

Content = bytes | UInt8[np.ndarray, "t h w 3"]
NATIVE = ("video", "captions")  # the fields of datasets that this package builds


def spec_of(example: Mapping[str, Any]) -> StoredSpec:
    """Read the metadata of a record that `datasets.records` wrote."""
    scores = example["scores"]
    names = [name.decode() for name in scores["name"]]
    captions = json.loads(example["stretches"])
    whole = tuple(text.decode() for text in example["captions"])
    frames = int(example["frames"])
    said = [Caption(texts=whole, start=0, stop=frames)] if whole else []
    said += [
        Caption(texts=tuple(part["texts"]), start=part["start"], stop=part["stop"])
        for part in captions
    ]
    truth = example["truth"].decode()
    return StoredSpec(
        name=example["id"].decode(),
        is_loop=bool(example["is_loop"]),
        # Datasets of earlier versions lack both.
        file_size=int(example.get("file_size", 0)),
        file_hash=example.get("file_hash", b"").decode(),
        spec=ClipSpec(
            frames=frames,
            height=int(example["height"]),
            width=int(example["width"]),
            fps=float(example["fps"]),
            captions=tuple(said),
            scores=dict(zip(names, map(float, scores["value"]), strict=True)),
            has_alpha=bool(example["has_alpha"]),
            has_sound=bool(example["has_sound"]),
            truth=json.loads(truth) if truth else None,
        ),
    )


def check_fields(example: Mapping[str, Any], fields: tuple[str, str]) -> None:
    """Check that a dataset has the features of video and caption.

    Raises:
      ValueError: it lacks one; lists those that there are.
    """
    missing = [field for field in fields if field not in example]
    if missing:
        raise ValueError(
            f"data.fields must name features of the dataset, got {missing}; there are: "
            f"{', '.join(sorted(example))}"
        )


def foreign_spec(
    example: Mapping[str, Any], fields: tuple[str, str], name: str
) -> StoredSpec:
    """Find out the metadata of a record of another dataset.

    Raises:
      ValueError: its video cannot be read.
    """
    content = video_of(example[fields[0]])
    found = probe(content, name)
    texts = tuple(texts_of(example[fields[1]]))
    said = (Caption(texts=texts, start=0, stop=found.frames),) if texts else ()
    encoded = content if isinstance(content, bytes) else content.tobytes()
    return StoredSpec(
        name=name,
        spec=dataclasses.replace(found, captions=said),
        file_size=len(encoded),
        file_hash=hashes.of_bytes(encoded),
    )


def texts_of(value: Any) -> Iterable[str]:
    """Return the texts of a feature that is one text or several."""
    values = [value] if isinstance(value, (bytes, str)) else list(value)
    for each in values:
        text = each.decode("utf-8", "replace") if isinstance(each, bytes) else str(each)
        if text.strip():
            yield text.strip()


def video_of(value: Any) -> Content:
    """Return the content of a video feature: a file, pictures, or frames.

    Raises:
      ValueError: it is none of these.
    """
    if isinstance(value, bytes):
        return value
    if isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim == 4:
        return value[..., :3]
    if isinstance(value, Sequence | np.ndarray) and len(value):
        from sora_jax.data import pictures

        frames = [pictures.still_of(bytes(frame)) for frame in value]
        if all(frame is not None for frame in frames):
            return np.stack([frame for frame in frames if frame is not None])
    raise ValueError(
        "data.fields must name a feature of encoded videos (bytes), of pictures or of "
        f"uint8 frames, got {type(value).__name__}"
    )

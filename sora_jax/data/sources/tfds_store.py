"""TFDS datasets of encoded clips as a clip store; TensorFlow is not needed.

A dataset of `sora_jax.datasets` has an index of its records beside them, by which they
are planned without being read. Others are scanned once.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from etils import epath
from jaxtyping import UInt8

from sora_jax.data.sources.probing import probe
from sora_jax.data.sources.protocol import ClipSpec
from sora_jax.data.sources.stored import StoredSpec
from sora_jax.files import PathLike
from sora_jax.types import Caption
from sora_jax.workdir import read_json, write_bytes

Content = bytes | UInt8[np.ndarray, "t h w 3"]
NATIVE = ("video", "captions")  # the fields of datasets that this package builds
INFO = "dataset_info.json"
# Clips that could not be read, with the reason; written last, it marks a complete part.
LEFT_OUT = "left_out.jsonl"
BUILD_AGAIN = "run its 'sora-jax data build' command again, which goes on"


@dataclasses.dataclass(frozen=True)
class TfdsStore:
    """The clips of a split of a TFDS dataset, which may have been built in parts.

    Attributes:
      directories: versions of the dataset, each with its `dataset_info.json`.
      split: in TFDS's notation.
      fields: features of video and captions.
    """

    directories: tuple[str, ...]
    split: str
    fields: tuple[str, str] = NATIVE

    def __len__(self) -> int:
        """Return the number of stored clips."""
        return len(self._specs)

    def describe(self, index: int) -> StoredSpec:
        """Return the metadata of a clip, from the index."""
        return self._specs[index]

    def content(self, index: int) -> Content:
        """Return the encoded bytes of a clip, or its frames if a dataset holds these.

        Raises:
          ValueError: the record is damaged.
        """
        return video_of(self._example(index)[self.fields[0]])

    def _example(self, index: int) -> Mapping[str, Any]:
        try:
            return self._source[index]
        except Exception as error:  # array_record's own errors
            raise ValueError(
                f"{self.directories[0]!r}: record {index} of {self.split!r} is damaged "
                f"({error}): build the dataset again"
            ) from error

    @cached_property
    def _source(self) -> Any:
        return open_source(self.directories, self.split)

    @cached_property
    def _specs(self) -> Sequence[StoredSpec]:
        # A part may have no clip of a split.
        indices = [read_index(directory, self.split) for directory in self.directories]
        return list(itertools.chain(*indices)) or self._scan()

    def _scan(self) -> list[StoredSpec]:
        source = self._source
        examples = (source[number] for number in range(len(source)))
        if self.fields == NATIVE:
            return [spec_of(example) for example in examples]
        return [
            foreign_spec(example, self.fields, f"{self.directories[0]}[{number}]")
            for number, example in enumerate(examples)
        ]

    def __getstate__(self) -> dict[str, Any]:
        """Leave open files behind, for worker processes."""
        return {
            field.name: getattr(self, field.name) for field in dataclasses.fields(self)
        }


def find_directories(path: PathLike) -> tuple[str, ...]:
    """Return the versions of a dataset below a folder: one, or one for each part.

    Raises:
      ValueError: some parts are missing.
    """
    folder = epath.Path(path)
    if (folder / INFO).exists():
        return (str(folder),)
    parts = sorted(mark.parent for mark in folder.glob(f"part-*-of-*/*/{LEFT_OUT}"))
    if not parts:
        newest = sorted(info.parent for info in folder.glob(f"*/{INFO}"))[-1:]
        return tuple(map(str, newest))
    wanted = int(parts[0].parent.name.rpartition("-")[2])
    if len(parts) != wanted:
        raise ValueError(
            f"data.path {str(path)!r} has {len(parts)} of {wanted} parts: {BUILD_AGAIN}"
        )
    # None of the clips of a part may have been readable.
    return tuple(str(part) for part in parts if (part / INFO).exists())


def split_names(directories: Sequence[str]) -> list[str]:
    """Return the names of all splits of a dataset.

    Raises:
      ValueError: its `dataset_info.json` is damaged.
    """
    names: list[str] = []
    for directory in directories:
        info = read_json(epath.Path(directory) / INFO, "build the dataset again")
        names += [split["name"] for split in info.get("splits", ())]
    return list(dict.fromkeys(names))


def default_directory(name: str) -> str:
    """Return the folder of a dataset by its name, where TFDS keeps datasets."""
    from tensorflow_datasets.core import constants

    root = os.environ.get("TFDS_DATA_DIR", constants.DATA_DIR)
    return os.path.join(os.path.expanduser(root), name)


def open_source(directories: Sequence[str], split: str) -> Any:
    """Open the records of a split for random access.

    Raises:
      ValueError: there is no such split, or TFDS cannot open the dataset.
    """
    import tensorflow_datasets as tfds  # costs half a second

    try:
        if len(directories) == 1:
            builder = tfds.builder_from_directory(directories[0])
        else:
            builder = tfds.builder_from_directories(list(directories))
        return builder.as_data_source(split)  # pyright: ignore[reportCallIssue]
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"data.path {directories[0]!r} with split {split!r} cannot be opened "
            f"({reason}): give a dataset of array_record files, and one of its splits"
        ) from error


# --- the index -----------------------------------------------------------------------


def index_path(directory: PathLike, split: str) -> epath.Path:
    """Return where the index of a split lies."""
    return epath.Path(directory) / f"clips-{split}.jsonl"


def write_index(directory: PathLike, split: str) -> None:
    """Write the metadata of every record of a split, in the order of the records."""
    source = open_source((str(directory),), split)
    specs = (spec_of(source[number]) for number in range(len(source)))
    lines = msgspec.json.Encoder().encode_lines(specs)
    write_bytes(index_path(directory, split), lines)


def read_index(directory: PathLike, split: str) -> list[StoredSpec]:
    """Read an index; empty if there is none.

    Raises:
      ValueError: it is damaged.
    """
    path = index_path(directory, split)
    if not path.exists():
        return []
    try:
        return msgspec.json.Decoder(type=StoredSpec).decode_lines(path.read_bytes())
    except msgspec.MsgspecError as error:
        raise ValueError(f"{str(path)!r} is damaged ({error}): delete it") from error


# --- records -------------------------------------------------------------------------


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


def foreign_spec(
    example: Mapping[str, Any], fields: tuple[str, str], name: str
) -> StoredSpec:
    """Find out the metadata of a record of another dataset.

    Raises:
      ValueError: it lacks the features, or its video cannot be read.
    """
    missing = [field for field in fields if field not in example]
    if missing:
        raise ValueError(
            f"data.fields must name features of the dataset, got {missing}; there are: "
            f"{', '.join(sorted(example))}"
        )
    found = probe(video_of(example[fields[0]]), name)
    texts = tuple(texts_of(example[fields[1]]))
    said = (Caption(texts=texts, start=0, stop=found.frames),) if texts else ()
    return StoredSpec(name=name, spec=dataclasses.replace(found, captions=said))


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

"""The clips of each part of a TFDS dataset, listed beside its records.

The list is the index of a split: with it, clips are planned without being read. An
index that is missing or damaged is made again from the records.
"""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from etils import epath

from sora_jax.data.sources.stored import StoredSpec
from sora_jax.data.sources.tfds_records import spec_of
from sora_jax.files import PathLike
from sora_jax.workdir import read_json, write_bytes

INFO = "dataset_info.json"
_FEATURES = "features.json"
_OWN = {"id", "video", "captions", "stretches", "scores", "truth"}
_AGAIN = "build the dataset again"


class Range(NamedTuple):
    """Records of a split, counted over all parts."""

    split: str
    start: int
    stop: int


def split_counts(directories: Sequence[str]) -> dict[str, int]:
    """Return the number of records of each split, over all parts.

    Raises:
      ValueError: a `dataset_info.json` is damaged.
    """
    counts = collections.Counter[str]()
    for directory in directories:
        info = read_json(epath.Path(directory) / INFO, _AGAIN)
        for split in info.get("splits", ()):
            counts[split["name"]] += sum(map(int, split.get("shardLengths", ())))
    return dict(counts)


def is_own(directory: PathLike) -> bool:
    """Return whether a dataset has the records of `datasets.records`."""
    path = epath.Path(directory) / _FEATURES
    try:
        features = read_json(path, _AGAIN)["featuresDict"]["features"]
    except (ValueError, KeyError):
        return False
    return set(features) >= _OWN


def ranges_of(directories: Sequence[str], split: str) -> list[Range]:
    """Return the records of a split in TFDS's notation, in its order.

    Raises:
      ValueError: there is no such split, or TFDS cannot open the dataset.
    """
    counts = split_counts(directories)
    if split in counts:
        return [Range(split, 0, counts[split])]
    import tensorflow_datasets as tfds

    try:
        splits = _builder(directories).info.splits
        parts = tfds.core.ReadInstruction.from_spec(split).to_absolute(splits)
    except Exception as error:
        raise _cannot_open(directories, split, error) from error
    return [
        Range(
            part.splitname,
            part.from_ or 0,
            counts[part.splitname] if part.to is None else part.to,
        )
        for part in parts
    ]


def open_source(directories: Sequence[str], split: str) -> Any:
    """Open the records of a split for random access.

    Raises:
      ValueError: there is no such split, or TFDS cannot open the dataset.
    """
    try:
        return _builder(directories).as_data_source(split)
    except Exception as error:
        raise _cannot_open(directories, split, error) from error


def _builder(directories: Sequence[str]) -> Any:
    import tensorflow_datasets as tfds  # costs half a second

    if len(directories) == 1:
        return tfds.builder_from_directory(directories[0])
    return tfds.builder_from_directories(list(directories))


def _cannot_open(
    directories: Sequence[str], split: str, error: Exception
) -> ValueError:
    reason = str(error).partition("\n")[0]
    return ValueError(
        f"data.path {directories[0]!r} with split {split!r} cannot be opened "
        f"({reason}): give a dataset of array_record files, and one of its splits"
    )


# --- the index -----------------------------------------------------------------------


def index_path(directory: PathLike, split: str) -> epath.Path:
    """Return where the index of a split lies."""
    return epath.Path(directory) / f"clips-{split}.jsonl"


def clips_of(directory: PathLike, split: str) -> list[StoredSpec]:
    """Return the metadata of every record of a split of one part, in their order.

    The index is written again if it does not list every record.

    Raises:
      ValueError: a record is damaged.
    """
    count = split_counts((str(directory),)).get(split, 0)
    if not count:
        return []
    listed = _read_index(index_path(directory, split))
    if len(listed) == count:
        return listed
    specs = _scan(str(directory), split)
    with contextlib.suppress(OSError):  # a dataset may be read-only
        lines = msgspec.json.Encoder().encode_lines(specs)
        write_bytes(index_path(directory, split), lines)
    return specs


def _read_index(path: epath.Path) -> list[StoredSpec]:
    """Read an index; empty if it is missing or damaged."""
    if not path.exists():
        return []
    try:
        return msgspec.json.Decoder(type=StoredSpec).decode_lines(path.read_bytes())
    except msgspec.MsgspecError:
        return []


def _scan(directory: str, split: str) -> list[StoredSpec]:
    source = open_source((directory,), split)
    specs = []
    for number in range(len(source)):
        try:
            specs.append(spec_of(source[number]))
        except Exception as error:  # array_record's own errors
            raise damaged_record(directory, split, number, error) from error
    return specs


def damaged_record(
    directory: str, split: str, number: int, error: Exception
) -> ValueError:
    """Return the error for a record that cannot be read."""
    return ValueError(
        f"{directory!r}: record {number} of {split!r} is damaged ({error}): {_AGAIN}"
    )

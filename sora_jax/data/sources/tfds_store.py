"""TFDS datasets of encoded clips as a clip store; TensorFlow is not needed.

A dataset of `sora_jax.datasets` has an index of its records beside them, by which they
are planned without being read. Others are scanned once.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from etils import epath

from sora_jax.data.sources.listing import LeftOut
from sora_jax.data.sources.stored import StoredSpec
from sora_jax.data.sources.tfds_index import (
    INFO,
    clips_of,
    damaged_record,
    is_own,
    open_source,
    ranges_of,
    split_counts,
)
from sora_jax.data.sources.tfds_records import (
    NATIVE,
    Content,
    check_fields,
    foreign_spec,
    video_of,
)
from sora_jax.files import PathLike

# Clips that could not be read, with the reason; written last, it marks a complete part.
LEFT_OUT = "left_out.jsonl"
BUILD_AGAIN = "run its 'sora-jax data build' command again, which goes on"
_logger = logging.getLogger(__name__)


class _Row(NamedTuple):
    """A clip: the number of its record in the split, and its metadata."""

    record: int
    stored: StoredSpec


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
        return len(self._rows)

    def describe(self, index: int) -> StoredSpec:
        """Return the metadata of a clip, from the index."""
        return self._rows[index].stored

    def content(self, index: int) -> Content:
        """Return the encoded bytes of a clip, or its frames if a dataset holds these.

        Raises:
          ValueError: the record is damaged.
        """
        return video_of(self._example(self._rows[index].record)[self.fields[0]])

    def _example(self, record: int) -> Mapping[str, Any]:
        try:
            return self._source[record]
        except Exception as error:  # array_record's own errors
            raise damaged_record(
                self.directories[0], self.split, record, error
            ) from error

    @cached_property
    def _source(self) -> Any:
        return open_source(self.directories, self.split)

    @cached_property
    def _rows(self) -> Sequence[_Row]:
        if self.fields == NATIVE and is_own(self.directories[0]):
            return list(map(_Row._make, enumerate(self._listed())))
        return self._scanned()

    def _listed(self) -> Iterator[StoredSpec]:
        """Yield the metadata of each record, as the parts list them."""
        for part in ranges_of(self.directories, self.split):
            parts = (clips_of(each, part.split) for each in self.directories)
            whole = [stored for clips in parts for stored in clips]
            yield from whole[part.start : part.stop]

    def _scanned(self) -> list[_Row]:
        """Read every record; those that cannot be read are left out, and listed."""
        names = [
            f"{part.split}[{number}]"
            for part in ranges_of(self.directories, self.split)
            for number in range(part.start, part.stop)
        ]
        if names:
            check_fields(self._example(0), self.fields)
        rows, bad = [], []
        for record, name in enumerate(names):
            try:
                spec = foreign_spec(self._example(record), self.fields, name)
                rows.append(_Row(record, spec))
            except ValueError as error:
                bad.append(LeftOut(name, str(error)))
        self._tell(bad, len(names))
        return rows

    def _tell(self, bad: Sequence[LeftOut], count: int) -> None:
        lines = "".join(f"\n  {each.name}: {each.reason}" for each in bad[:10])
        lines += f"\n  and {len(bad) - 10} more" if len(bad) > 10 else ""
        where = self.directories[0]
        if bad and len(bad) == count:
            raise ValueError(f"data.path {where!r}: no clip can be read{lines}")
        if bad:
            _logger.warning(
                "%s: clips that cannot be read: %d%s", where, len(bad), lines
            )

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
    return list(split_counts(directories))


def default_directory(name: str) -> str:
    """Return the folder of a dataset by its name, where TFDS keeps datasets."""
    from tensorflow_datasets.core import constants

    root = os.environ.get("TFDS_DATA_DIR", constants.DATA_DIR)
    return os.path.join(os.path.expanduser(root), name)

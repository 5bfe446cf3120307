"""Write ArrayRecord files atomically."""

from __future__ import annotations

from collections.abc import Sequence

from array_record.python.array_record_module import (
    ArrayRecordWriter,  # pyright: ignore[reportAttributeAccessIssue]
)
from etils import epath

from sora_jax.workdir import explain_full_disk


def write_array_record(target: epath.Path, contents: Sequence[bytes]) -> None:
    """Write a file of records, under a temporary name until it is complete.

    Raises:
      OSError: the disk is full; says how much room the file needs.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(".partial")
    try:
        with explain_full_disk(target, sum(map(len, contents))):
            # Records are read one by one, in any order.
            writer = ArrayRecordWriter(str(temporary), "group_size:1")
            for content in contents:
                writer.write(content)
            writer.close()
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)

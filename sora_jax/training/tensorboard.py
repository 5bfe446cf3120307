"""Write TensorBoard files; on a full disk, lose curves, not the run.

In tensorboardX's own writer, a full disk ends its thread, and later writes block
forever.
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import time
from collections.abc import Mapping
from typing import Any

from etils import epath
from tensorboardX.proto import event_pb2, summary_pb2
from tensorboardX.record_writer import RecordWriter

# Generated code that type checkers cannot see.
proto: Any = summary_pb2
events: Any = event_pb2
_FLUSH = 30.0  # seconds
_logger = logging.getLogger(__name__)


def tag(name: str) -> str:
    """Replace the characters that TensorBoard does not allow in a tag."""
    return re.sub(r"[^-/\w.]", "_", name)


class TensorBoardWriter:
    """Scalars and pictures by step."""

    def __init__(self, folder: epath.Path, purge_step: int):
        """Begin a file.

        Args:
          folder: for TensorBoard to read.
          purge_step: earlier data from this step on are discarded.
        """
        self._folder, self._writer, self._flushed = folder, None, time.monotonic()
        start = events.SessionLog(status=events.SessionLog.START)
        self._write(events.Event(step=purge_step, session_log=start))

    def scalars(self, values: Mapping[str, Any], step: int) -> None:
        """Write scalars."""
        found = [
            proto.Summary.Value(tag=tag(name), simple_value=float(value))
            for name, value in values.items()
        ]
        self._write(events.Event(step=step, summary=proto.Summary(value=found)))

    def picture(self, name: str, content: bytes, size: tuple[int, int], step: int):
        """Write a PNG or GIF of (height, width)."""
        picture = proto.Summary.Image(
            encoded_image_string=content, height=size[0], width=size[1], colorspace=3
        )
        value = proto.Summary.Value(tag=tag(name), image=picture)
        self._write(events.Event(step=step, summary=proto.Summary(value=[value])))

    def flush(self) -> None:
        """Flush the file."""
        self._flushed = time.monotonic()
        try:
            if self._writer is not None:
                self._writer.flush()
        except OSError as error:
            self._give_up(error)

    def close(self) -> None:
        """Flush and close the file."""
        self.flush()
        writer, self._writer = self._writer, None
        if writer is not None:
            with contextlib.suppress(OSError):
                writer.close()

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        try:
            if self._writer is None:
                self._writer = self._begin()
            self._writer.write(event.SerializeToString())
        except OSError as error:
            self._give_up(error)
        if time.monotonic() > self._flushed + _FLUSH:
            self.flush()

    def _begin(self) -> RecordWriter:
        """Open a file with a unique name that TensorBoard recognizes."""
        self._folder.mkdir(parents=True, exist_ok=True)
        number, host = time.time_ns(), socket.gethostname()
        name = f"events.out.tfevents.{number // 10**9}.{host}.{number}"
        writer = RecordWriter(str(self._folder / name))
        start = events.Event(wall_time=time.time(), file_version="brain.Event:2")
        writer.write(start.SerializeToString())
        return writer

    def _give_up(self, error: OSError) -> None:
        """Abandon a file that ends within a record, which readers cannot skip."""
        _logger.warning("%s: some curves are lost (%s)", self._folder, error)
        writer, self._writer = self._writer, None
        if writer is not None:
            with contextlib.suppress(OSError):
                writer.close()

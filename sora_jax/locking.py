"""Lock a workdir, so that one run at a time writes to it.

The lock is a small file that names host and process. On the same host, the process
table shows whether the holder is alive. A holder on another host, which may share the
disk or bucket, is alive while its heartbeat changes: a counter that it increments every
few seconds, so that clocks need not agree. The lock of a dead holder is taken over. A
holder that was only suspended then finds another lock, and stops before it saves again.

A disk creates the lock atomically. A bucket does not: of two runs that start within
seconds, the last to write has the lock, and the other is refused when it checks again,
at its start or before it saves. In a bucket, a run may still lose its lock between this
check and the end of the save.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Iterator

import msgspec
from etils import epath

from sora_jax import files, lock_files, sharding
from sora_jax.files import PathLike
from sora_jax.lock_files import Holder
from sora_jax.workdir import write_bytes

PULSE = 10.0  # seconds between heartbeats
PATIENCE = 3.5 * PULSE  # a holder on another host is dead after so long without one
GRACE = 5.0  # seconds that another run may take from reading a bucket to writing it
_logger = logging.getLogger(__name__)


@contextlib.contextmanager
def only_run(
    workdir: PathLike, is_first: bool = True, field: str = "--workdir"
) -> Iterator[Lock]:
    """Hold the lock of a workdir; all hosts of a run call this, and the first takes it.

    Args:
      workdir: the folder.
      is_first: whether this host takes the lock.
      field: the flag that error messages name.

    Yields:
      The lock; call its `check` before writing.

    Raises:
      ValueError: another run holds the lock (names process and host), or its path is
        taken by something else, or the workdir is not a folder's path.
    """
    lock = Lock(files.located(workdir, field), field)
    with sharding.fail_together():
        if is_first:
            lock.take()
    try:
        yield lock
    finally:
        if is_first:
            lock.give_back()


class Lock:
    """The lock of a folder, which is created if missing."""

    def __init__(self, folder: epath.Path, field: str = "--workdir"):
        self.field = field
        self.folder, self.path = folder, folder / lock_files.NAME
        self.holder = lock_files.this_process()
        self.taker: Holder | None = None  # the holder that took it from this process
        self._made: list[epath.Path] = []
        self._stop = threading.Event()
        self._pulse = threading.Thread(target=self._beat, daemon=True)

    def take(self) -> None:
        """Take the lock, also from a dead holder.

        Raises:
          ValueError: it is held, or its path is taken by something else.
        """
        parents = [self.folder, *self.folder.parents]
        self._made = [folder for folder in parents if not folder.exists()]
        self.folder.mkdir(parents=True, exist_ok=True)
        seen = lock_files.read_holder(self.path)
        if seen is not None and not self._is_dead(seen):
            self._refuse(seen)
        with lock_files.alone(self.folder):
            now = lock_files.read_holder(self.path)
            if now is not None and (seen is None or now.token != seen.token):
                self._refuse(now)  # another run was faster
            self._write()
        if files.is_remote(self.path):
            time.sleep(GRACE)  # without atomic creation, the last writer has it
            now = lock_files.read_holder(self.path)
            if now is None or now.token != self.holder.token:
                self._refuse(now or self.holder)
        self._pulse.start()

    def give_back(self) -> None:
        """Delete the lock, and the folders created for it if they are empty."""
        self._stop.set()
        if self._pulse.is_alive():
            self._pulse.join()
        # An unreachable disk must not hide the error that ended the run.
        with contextlib.suppress(OSError, ValueError):
            held = lock_files.read_holder(self.path)
            if held is None or held.token != self.holder.token:
                return
            self.path.unlink()
            for folder in self._made:
                if any(folder.iterdir()):
                    break
                folder.rmdir()

    def check(self) -> None:
        """Check before a write that the lock is still held.

        Raises:
          OSError: another run has taken it over.
        """
        if self._pulse.ident is not None:  # the other hosts of a run hold no lock
            self._look()
        if self.taker is not None:
            raise OSError(
                f"{self.field} {files.quoted(self.folder)} was taken over by process "
                f"{self.taker.process} on {files.quoted(self.taker.host)}, since this "
                f"one gave no sign of life for {PATIENCE:.0f} s or started at the same "
                "moment: nothing more is saved here; stop one of them, and start the "
                "other again"
            )

    def is_lost(self) -> bool:
        """Return whether the heartbeat found another run's lock."""
        return self.taker is not None

    def _look(self) -> None:
        # A temporarily unreachable disk must not end the run.
        with contextlib.suppress(OSError, ValueError):
            held = lock_files.read_holder(self.path)
            if held is not None and held.token != self.holder.token:
                self.taker = held

    def _is_dead(self, seen: Holder) -> bool:
        if seen.place == self.holder.place:
            return not lock_files.is_alive(seen)
        _logger.info(
            "%s was taken by process %d on %s: looking for up to %.0f s whether it is "
            "alive",
            self.path,
            seen.process,
            files.quoted(seen.host),
            PATIENCE,
        )
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            time.sleep(PULSE / 20)
            now = lock_files.read_holder(self.path)
            if now is None:
                return True
            if (now.token, now.beats) != (seen.token, seen.beats):
                return False
        return True

    def _refuse(self, held: Holder) -> None:
        raise ValueError(
            f"{self.field} {files.quoted(self.folder)} is in use by process "
            f"{held.process} on {files.quoted(held.host)}: wait for its end, stop it, "
            f"or give another {self.field}"
        )

    def _write(self) -> None:
        content = msgspec.json.encode(self.holder).ljust(lock_files.LENGTH)
        if files.is_remote(self.path) or not os.path.lexists(self.path):
            write_bytes(self.path, content)
            return
        # In place, which needs no room.
        with lock_files.opened(self.path, os.O_WRONLY) as file:
            file.write(content)
            file.truncate()

    def _beat(self) -> None:
        while not self._stop.wait(PULSE):
            self.holder.beats += 1
            self._look()
            if self.taker is not None:
                _logger.warning("%s was taken by another run", self.path)
                return
            with contextlib.suppress(OSError, ValueError):
                self._write()

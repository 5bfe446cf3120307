"""One run to a workdir: who works in it says so, and others are refused.

The lock is a small file that names host and process. On its own host, a process is seen
to be alive or not; of another host, which may share the disk or the bucket, it is known
by its pulse: a counter that it raises every few seconds, which asks no clocks. Whoever
dies leaves a lock that the next one takes over.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
from etils import epath

from sora_jax import files, sharding
from sora_jax.files import PathLike
from sora_jax.workdir import write_bytes

NAME = "lock.json"
PULSE = 10.0  # seconds between two beats
PATIENCE = 3.5 * PULSE  # without a beat, a process of another host is dead
_LENGTH = 1024  # bytes, always as many, so that a full disk stops no pulse
_logger = logging.getLogger(__name__)


class Holder(msgspec.Struct, forbid_unknown_fields=True):
    """Who holds a lock.

    Attributes:
      host: its name.
      place: where its process number means something: one start of one machine, and of
        a container on it.
      process: its number.
      started: when it began, in seconds, by which another of the same number is told.
      token: of this lock.
      beats: how often it has told since that it is alive.
    """

    host: str
    place: str
    process: int
    started: float
    token: str
    beats: int = 0


@contextlib.contextmanager
def only_run(workdir: PathLike, is_first: bool = True) -> Iterator[None]:
    """Hold the lock of a workdir; all hosts of a run call this, and the first takes it.

    Raises:
      ValueError: another run works there; says which process, on which host.
    """
    lock = Lock(epath.Path(workdir))
    with sharding.together():
        if is_first:
            lock.take()
    try:
        yield
    finally:
        if is_first:
            lock.give_back()


class Lock:
    """The lock of a folder, which is made for it where there is none."""

    def __init__(self, folder: epath.Path):
        self.folder, self.path = folder, folder / NAME
        self.holder = _me()
        self._made: list[epath.Path] = []
        self._stop = threading.Event()
        self._pulse = threading.Thread(target=self._beat, daemon=True)

    def take(self) -> None:
        """Take the lock, from a dead holder too.

        Raises:
          ValueError: it is held.
        """
        parents = [self.folder, *self.folder.parents]
        self._made = [folder for folder in parents if not folder.exists()]
        self.folder.mkdir(parents=True, exist_ok=True)
        seen = _read(self.path)
        if seen is not None and not self._is_dead(seen):
            self._refuse(seen)
        with _alone(self.folder):
            now = _read(self.path)
            if now is not None and (seen is None or now.token != seen.token):
                self._refuse(now)  # another was faster
            self._write()
        if files.is_remote(self.path):
            time.sleep(1.0)  # where nobody is ever alone, the last to write has it
            now = _read(self.path)
            if now is None or now.token != self.holder.token:
                self._refuse(now or self.holder)
        self._pulse.start()

    def give_back(self) -> None:
        """Take the lock away, and the folders that were made for it if nothing came."""
        self._stop.set()
        if self._pulse.is_alive():
            self._pulse.join()
        held = _read(self.path)
        if held is None or held.token != self.holder.token:
            return
        with contextlib.suppress(OSError):
            self.path.unlink()
            for folder in self._made:
                if any(folder.iterdir()):
                    break
                folder.rmdir()

    def _is_dead(self, seen: Holder) -> bool:
        if seen.place == self.holder.place:
            return not _is_alive(seen)
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
            now = _read(self.path)
            if now is None:
                return True
            if (now.token, now.beats) != (seen.token, seen.beats):
                return False
        return True

    def _refuse(self, held: Holder) -> None:
        raise ValueError(
            f"--workdir {files.quoted(self.folder)} is in use by process "
            f"{held.process} on {files.quoted(held.host)}: wait for its end, stop it, "
            "or give another --workdir"
        )

    def _write(self) -> None:
        content = msgspec.json.encode(self.holder).ljust(_LENGTH)
        if files.is_remote(self.path) or not self.path.exists():
            write_bytes(self.path, content)
            return
        with open(self.path, "r+b") as file:  # in place, which needs no room
            file.write(content)
            file.truncate()

    def _beat(self) -> None:
        while not self._stop.wait(PULSE):
            self.holder.beats += 1
            # A disk that is away for a while must not end the run.
            with contextlib.suppress(OSError):
                held = _read(self.path)
                if held is not None and held.token != self.holder.token:
                    _logger.warning("%s was taken by another run", self.path)
                    return
                self._write()


def _me() -> Holder:
    place = [socket.gethostname(), str(psutil.boot_time())]
    with contextlib.suppress(OSError):
        place = [Path("/proc/sys/kernel/random/boot_id").read_text().strip()]
        place.append(os.readlink("/proc/self/ns/pid"))
    process = psutil.Process()
    return Holder(
        host=platform.node(),
        place=" ".join(place),
        process=process.pid,
        started=process.create_time(),
        token=secrets.token_hex(8),
    )


def _is_alive(holder: Holder) -> bool:
    try:
        process = psutil.Process(holder.process)
        is_same = abs(process.create_time() - holder.started) < 1.0
        return is_same and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        return False
    except psutil.AccessDenied:
        return True


def _read(path: epath.Path) -> Holder | None:
    """Who holds a lock; what is no lock holds nothing.

    Raises:
      ValueError: something else is in its place.
    """
    if not path.exists():
        return None
    text = files.read_bytes(path, "lock", 2 * _LENGTH)
    try:
        return files.decode_json(text, Holder)
    except ValueError:
        return None


@contextlib.contextmanager
def _alone(folder: epath.Path) -> Iterator[None]:
    """Be the only one in a few lines, where the disk knows how to."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield

"""One run to a workdir: who works in it says so, and others are refused.

The lock is a small file that names host and process. On its own host, a process is seen
to be alive or not; of another host, which may share the disk or the bucket, it is known
by its pulse: a counter that it raises every few seconds, which asks no clocks. Whoever
dies leaves a lock that the next one takes over; whoever was only asleep meanwhile finds
another's lock, and stops before it saves again.

A disk knows who was first. A bucket does not, as it is reached here: of two runs that
start within seconds, the last to write has the lock, and the other is refused when it
looks again, at its start or before it saves. That a run loses its lock between this
look and the end of the save, a bucket cannot rule out.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import secrets
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import msgspec
import psutil
from etils import epath

from sora_jax import files, sharding
from sora_jax.files import PathLike
from sora_jax.workdir import write_bytes

NAME = "lock.json"
PULSE = 10.0  # seconds between two beats
PATIENCE = 3.5 * PULSE  # without a beat, a process of another host is dead
GRACE = 5.0  # seconds that another may take from looking at a bucket to writing there
_LENGTH = 1024  # bytes, always as many, so that a full disk stops no pulse
_logger = logging.getLogger(__name__)


class Holder(msgspec.Struct):
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
def only_run(workdir: PathLike, is_first: bool = True) -> Iterator[Lock]:
    """Hold the lock of a workdir; all hosts of a run call this, and the first takes it.

    Yields:
      The lock, to be looked at before anything is written.

    Raises:
      ValueError: another run works there; says which process, on which host. Or
        something else is in the lock's place, or the workdir is no folder's address.
    """
    lock = Lock(files.located(workdir, "--workdir"))
    with sharding.fail_together():
        if is_first:
            lock.take()
    try:
        yield lock
    finally:
        if is_first:
            lock.give_back()


class Lock:
    """The lock of a folder, which is made for it where there is none."""

    def __init__(self, folder: epath.Path):
        self.folder, self.path = folder, folder / NAME
        self.holder = _me()
        self.taker: Holder | None = None  # who has taken it from this process
        self._made: list[epath.Path] = []
        self._stop = threading.Event()
        self._pulse = threading.Thread(target=self._beat, daemon=True)

    def take(self) -> None:
        """Take the lock, from a dead holder too.

        Raises:
          ValueError: it is held, or something else is in its place.
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
            time.sleep(GRACE)  # where nobody is ever alone, the last to write has it
            now = _read(self.path)
            if now is None or now.token != self.holder.token:
                self._refuse(now or self.holder)
        self._pulse.start()

    def give_back(self) -> None:
        """Take the lock away, and the folders that were made for it if nothing came."""
        self._stop.set()
        if self._pulse.is_alive():
            self._pulse.join()
        # What ended the run must not be hidden by a disk that is away.
        with contextlib.suppress(OSError, ValueError):
            held = _read(self.path)
            if held is None or held.token != self.holder.token:
                return
            self.path.unlink()
            for folder in self._made:
                if any(folder.iterdir()):
                    break
                folder.rmdir()

    def check(self) -> None:
        """Make sure that nobody has taken the lock over, before something is written.

        Raises:
          OSError: someone has.
        """
        if self._pulse.ident is not None:  # other hosts of a run hold none
            self._look()
        if self.taker is not None:
            raise OSError(
                f"--workdir {files.quoted(self.folder)} was taken over by process "
                f"{self.taker.process} on {files.quoted(self.taker.host)}, since this "
                f"one gave no sign of life for {PATIENCE:.0f} s or started at the same "
                "moment: nothing more is saved here; stop one of them, and start the "
                "other again"
            )

    def is_lost(self) -> bool:
        """Whether the pulse has found someone else's lock."""
        return self.taker is not None

    def _look(self) -> None:
        # A disk that is away for a while must not end the run.
        with contextlib.suppress(OSError, ValueError):
            held = _read(self.path)
            if held is not None and held.token != self.holder.token:
                self.taker = held

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
        if files.is_remote(self.path) or not os.path.lexists(self.path):
            write_bytes(self.path, content)
            return
        with _opened(self.path, os.O_WRONLY) as file:  # in place, which needs no room
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
    """Who holds a lock; what a crash left of one holds nothing.

    Raises:
      OSError: it cannot be read.
      ValueError: something else is in its place.
    """
    try:
        with _opened(path, os.O_RDONLY) as file:
            text = file.read(_LENGTH + 1)
    except FileNotFoundError:
        return None
    try:
        return files.decode_json(text, Holder)
    except ValueError as error:
        # Locks are written whole, of one length: a crash leaves that, or nothing.
        if len(text) in (0, _LENGTH):
            return None
        raise _no_lock(path, "is no lock of a run") from error


def _opened(path: epath.Path, mode: int) -> BinaryIO:
    """Open what is a regular file itself; a link in its place could lead anywhere."""
    if files.is_remote(path):
        if not path.exists():
            raise FileNotFoundError(path)
        return cast(BinaryIO, path.open("rb"))
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise _no_lock(path, "is no regular file")
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, mode | flags | getattr(os, "O_BINARY", 0))
    return os.fdopen(descriptor, "rb" if mode == os.O_RDONLY else "wb")


def _no_lock(path: epath.Path, what: str) -> ValueError:
    return ValueError(
        f"{files.quoted(path)} {what}, and a run keeps its lock there: move it away, "
        "or give another --workdir"
    )


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

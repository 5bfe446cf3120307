"""Lock files: read, opened and created safely."""

from __future__ import annotations

import contextlib
import os
import platform
import secrets
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import msgspec
import psutil
from etils import epath

from sora_jax import files

NAME = "lock.json"
LENGTH = 1024  # bytes; constant, so that heartbeats need no space on a full disk


class Holder(msgspec.Struct):
    """The holder of a lock.

    Attributes:
      host: its host name.
      place: the boot of the machine and the container, in which process ids are unique.
      process: its process id.
      started: its start time in seconds, since process ids are reused.
      token: random, of this lock.
      beats: heartbeats so far.
    """

    host: str
    place: str
    process: int
    started: float
    token: str
    beats: int = 0


def this_process() -> Holder:
    """Return a holder for this process, with a new token."""
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


def is_alive(holder: Holder) -> bool:
    """Return whether the process of a holder on this machine still runs."""
    try:
        process = psutil.Process(holder.process)
        is_same = abs(process.create_time() - holder.started) < 1.0
        return is_same and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        return False
    except psutil.AccessDenied:
        return True


def read_holder(path: epath.Path) -> Holder | None:
    """Read the holder of a lock; None for a truncated one.

    Raises:
      OSError: it cannot be read.
      ValueError: the path is taken by something else.
    """
    try:
        with opened(path, os.O_RDONLY) as file:
            text = file.read(LENGTH + 1)
    except FileNotFoundError:
        return None
    try:
        return files.decode_json(text, Holder)
    except ValueError as error:
        # Locks have one length: a crash leaves all of it or nothing.
        if len(text) in (0, LENGTH):
            return None
        raise _no_lock(path, "is no lock of a run") from error


def opened(path: epath.Path, mode: int) -> BinaryIO:
    """Open a regular file, but no link, which could lead anywhere."""
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
def alone(folder: epath.Path) -> Iterator[None]:
    """Serialize a few lines between processes, if the disk supports file locks."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield

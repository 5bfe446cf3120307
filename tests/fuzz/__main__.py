"""Throw damaged and strange inputs at everything that reads what others wrote.

    python -m tests.fuzz --turns 12 --seed 0
    python -m tests.fuzz --seconds 3600 --seed $RANDOM --only media npy

Every input must be taken, or refused by an error that `sample.py` tells in a line: no
traceback, no hang, no file but its own, no network, no other program, and no more
memory than `MEMORY`. What breaks is shrunk, printed, and repeated by the same seed.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import os
import resource
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from sora_jax import cli
from tests.fuzz import targets
from tests.helpers.paths import ROOT

MEMORY = 3 * 2**30  # bytes, of one input's process
HANG = 30  # seconds for one input
# Events of Python's audit hook that no input may cause.
FORBIDDEN = ("socket.", "subprocess.", "os.system", "os.exec", "os.spawn", "urllib.")
EXAMPLES = 25  # of a target, before the next has its turn


class Guard:
    """Watches what a process does while an input is read."""

    def __init__(self, folder: Path):
        own = [folder, ROOT, *map(Path, sys.path)]
        own += [Path(path) for path in sysconfig.get_paths().values()]
        self._own = tuple(os.path.realpath(path) for path in own if os.fspath(path))
        self._own += ("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat")
        self._own += ("/sys", "/dev/null", "/dev/urandom", "/usr/share", "/etc/mime")
        self.is_on, self.seen = False, []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.is_on:
            return
        if event.startswith(FORBIDDEN):
            self.seen.append(f"{event} {arguments}")
        elif event == "open" and isinstance(arguments[0], (str, bytes)):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            if not path.startswith(self._own):
                self.seen.append(f"open {path}")

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Fail if the code inside touches what it must not, or does not end."""
        self.seen.clear()
        faulthandler.dump_traceback_later(HANG, exit=True)
        self.is_on = True
        try:
            yield
        finally:
            self.is_on = False
            faulthandler.cancel_dump_traceback_later()
        assert not self.seen, f"an input touched what is not its own: {self.seen}"


def is_told_in_a_line(error: BaseException) -> bool:
    """Whether `cli.exit_with_message` turns an error into a line."""
    if isinstance(error, (OSError, FloatingPointError)):
        return True
    return isinstance(error, ValueError) and cli.raised_by_package(error)


def attempt(read: Callable[[Any], None], value: Any, guard: Guard) -> None:
    """Read an input, which may be refused in a line."""
    with guard.watching():
        try:
            read(value)
        except SystemExit:
            pass  # tyro has printed what is wrong with a flag
        except Exception as error:
            if not is_told_in_a_line(error):
                raise


def examine(target: targets.Target, guard: Guard, number: int) -> None:
    """Try some inputs of a target."""

    @seed(number)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(target.inputs)
    def trial(value: Any) -> None:
        attempt(target.read, value, guard)

    trial()


def main() -> None:
    """Examine every target in turn until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--turns", type=int, help="so many, whatever time they take")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[])
    asked = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        readers = targets.make(Path(folder))
        wanted = asked.only or list(readers)
        guard, counts = Guard(Path(folder)), dict.fromkeys(wanted, 0)
        started, turn = time.monotonic(), 0

        def goes_on() -> bool:
            if asked.turns is not None:  # the same inputs on every machine
                return turn < asked.turns
            return time.monotonic() - started < asked.seconds or turn == 0

        while goes_on():
            for name in wanted:
                if sys.stdout.isatty():
                    print(f"{name}, seed {asked.seed + turn}", end="\r", flush=True)
                examine(readers[name], guard, asked.seed + turn)
                counts[name] += EXAMPLES
            turn += 1
        os.chdir("/")
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert held < MEMORY, f"{held:,} bytes were held, and {MEMORY:,} are allowed"
    print(f"nothing broke; inputs tried: {counts}, {held / 2**20:.0f} MiB held")


if __name__ == "__main__":
    main()

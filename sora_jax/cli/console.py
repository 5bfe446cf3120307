"""Console output: lines, progress bars, and errors as one line."""

from __future__ import annotations

import contextlib
import dis
import io
import os
import signal
import sys
import threading
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

import tqdm

# `__name__` of a config file while it runs.
CONFIG_MODULE = "sora_jax_config_file"
PACKAGE = "sora_jax"


@contextlib.contextmanager
def exit_with_message(stopped: str) -> Iterator[None]:
    """Exit with one line, the error or `stopped`, instead of a traceback.

    A ValueError raised inside a library is a bug of this package: it keeps its
    traceback. SIGTERM, which queues send, stops like Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        # Escape what the console cannot encode, instead of failing.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with _sigterm_interrupts():
            yield
    except (FloatingPointError, OSError) as error:
        sys.exit(f"error: {printable(str(error))}")
    except ValueError as error:
        if not raised_by_package(error):
            raise
        sys.exit(f"error: {printable(str(error))}")
    except KeyboardInterrupt:
        sys.exit(stopped)


@contextlib.contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM interrupt like Ctrl-C, unless it is handled already."""
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def say(line: str, file: TextIO | None = None) -> None:
    """Print a line to standard output or another file; ignore a closed pipe."""
    try:
        print(printable(line), flush=True, file=file)
    except (OSError, ValueError):
        sys.stdout = open(os.devnull, "w")


def printable(text: str) -> str:
    """Escape the control characters of a text."""
    return "".join(
        char
        if char == "\n" or not unicodedata.category(char) == "Cc"
        else ascii(char)[1:-1]
        for char in text
    )


def raised_by_package(error: BaseException) -> bool:
    """Return whether this package or a config file raised an error.

    C code has no frames: its errors seem to come from the caller, but from a call and
    not from a `raise`.
    """
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is None:
        return False
    frame = last.tb_frame
    # A module run by `python -m` is named __main__; its spec has the real name.
    spec = frame.f_globals.get("__spec__")
    name = getattr(spec, "name", None) or frame.f_globals.get("__name__", "")
    is_raised = frame.f_code.co_code[last.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    return name == CONFIG_MODULE or (is_raised and name.partition(".")[0] == PACKAGE)


def bars(numbers: Sequence[int], unit: str) -> Iterable[int]:
    """Show a progress bar with the remaining time."""
    return tqdm.tqdm(numbers, desc=f"{unit}s", unit=unit, leave=None)

"""Silence what Orbax's threads log of a failed save, which is raised anyway."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from functools import cache, partial
from typing import Any


@cache
def tell_failures_once() -> None:
    """Silence the logs of Orbax's threads about errors that are raised anyway.

    Once per process and for good: some threads log after everything is closed.
    """
    logging.getLogger("absl").addFilter(is_news)
    sys.excepthook = partial(_tell, sys.excepthook)


def is_news(record: logging.LogRecord) -> bool:
    """Return whether a log record is not the traceback of a raised exception.

    Each of Orbax's threads logs the whole traceback of a failed save.
    """
    return not (record.exc_info and "orbax" in record.pathname)


def _tell(tell: Callable[..., Any], kind: Any, error: Any, trace: Any) -> None:
    """Print an uncaught error, unless it says that Orbax's event loop is closed.

    tensorstore raises that for each write that ends after another one failed.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if is_main or str(error) != "Event loop is closed":
        tell(kind, error, trace)

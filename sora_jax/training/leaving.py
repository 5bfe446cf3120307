"""Leave a run before its end, with its last step saved.

One process is asked to by Ctrl-C or by SIGTERM, which a queue sends, or a machine that
is soon taken away. On several hosts JAX hears SIGTERM on any of them, and all agree on
a step.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

import jax
from jax.experimental import multihost_utils

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_HEARD = b"\nstopping after this step, which is saved; once more stops at once\n"


@contextlib.contextmanager
def requests() -> Iterator[Callable[[int], bool]]:
    """Listen while a run lasts.

    Yields:
      step -> whether it is the last before leaving; all hosts ask after every step.
    """
    if jax.process_count() > 1:
        yield multihost_utils.reached_preemption_sync_point
        return
    heard: list[int] = []
    before = {}

    def restore() -> None:
        while before:
            signal.signal(*before.popitem())

    def hear(number: int, _: object) -> None:
        heard.append(number)
        restore()
        # What is printed in a signal's handler might break into what is being printed.
        os.write(2, _HEARD)

    # Only a main thread may listen; what is ignored, as under nohup, stays so.
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, hear)
    try:
        yield lambda step: bool(heard)
    finally:
        restore()

"""Stop a run early, after its current step is saved.

Ctrl-C, SIGTERM (a queue, or a machine about to be reclaimed) and SIGHUP (a closed
terminal) request it; on several hosts, a request on one stops all.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

import jax

from sora_jax import sharding

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NOBODYS = (signal.SIG_DFL, signal.default_int_handler)
_HEARD = b"\nstopping after this step, which is saved; Ctrl-C once more stops at once\n"


@contextlib.contextmanager
def listening(
    must: Callable[[], bool] = lambda: False,
) -> Iterator[Callable[[], bool]]:
    """Handle signals that request the end of a run.

    Args:
      must: another reason to stop, checked at each call.

    Yields:
      A function that all hosts call after every step: whether to stop now. On several
      hosts it returns the state at the call before, so that none waits for its devices.

    Raises:
      KeyboardInterrupt: on exit, if a stop was requested.
    """
    heard: set[int] = set()
    before = {}

    def hear(number: int, _: object) -> None:
        # Queues may send SIGTERM twice; a second Ctrl-C stops at once.
        if number == signal.SIGINT and number in heard:
            raise KeyboardInterrupt
        heard.add(number)
        # Not `print`, which this may have interrupted; stderr may be closed.
        with contextlib.suppress(OSError):
            os.write(2, _HEARD)

    # Only the main thread may set handlers. Signals that are ignored (nohup) or handled
    # by others are left alone.
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if signal.getsignal(number) in _NOBODYS:
                before[number] = signal.signal(number, hear)
    votes: list[bool | jax.Array] = []

    def is_preempted() -> bool:
        if jax.process_count() == 1:
            return bool(heard) or must()
        votes.append(sharding.any_host(bool(heard) or must()))
        return len(votes) > 1 and bool(votes.pop(0))

    try:
        yield is_preempted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if sharding.any_host(bool(heard)):
        raise KeyboardInterrupt

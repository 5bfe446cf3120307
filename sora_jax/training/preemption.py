"""End a run before its last step, with the step under way saved.

Ctrl-C asks for it, SIGTERM from a queue or a machine that is soon taken away, and a
terminal that closes; on several hosts it is enough that one is asked.
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
    """Listen for requests to end while a run lasts.

    Args:
      must: whether there is another reason to end; the caller knows which.

    Yields:
      A function that all hosts call after every step: whether to end now. On several
      hosts it tells what was so at the call before, so that none waits for its devices.

    Raises:
      KeyboardInterrupt: when closed, if someone has asked.
    """
    heard: set[int] = set()
    before = {}

    def hear(number: int, _: object) -> None:
        # Queues may send SIGTERM twice; a person who insists means it.
        if number == signal.SIGINT and number in heard:
            raise KeyboardInterrupt
        heard.add(number)
        # Not `print`, which this may have interrupted. Nobody may be reading any more.
        with contextlib.suppress(OSError):
            os.write(2, _HEARD)

    # Only a main thread may listen. What is ignored, as by nohup, or heard by others,
    # stays so.
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

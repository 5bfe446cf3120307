"""The `sample.py` program."""

from __future__ import annotations

import time
from collections.abc import Sequence

from sora_jax import cluster
from sora_jax.sampling import checks, spellings

STOPPED = "stopped; the video under way was not written"


def main(argv: Sequence[str]) -> None:
    """Parse and check the flags, then sample and write."""
    started = time.perf_counter()
    asked = checks.check_flags(spellings.parse(argv))
    # Flags are checked before JAX is imported, which is slow. On several hosts, all
    # must learn of an error before one exits.
    if not cluster.may_be_several():
        asked = asked.checked()
    from sora_jax.expander import DefaultExpander
    from sora_jax.sampling import command

    command.main(asked, started, DefaultExpander())

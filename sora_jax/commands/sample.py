"""Make videos from flags."""

from __future__ import annotations

import time
from collections.abc import Sequence

from sora_jax import cluster
from sora_jax.sampling import checks, spellings

STOPPED = "stopped; the video under way was not written"


def main(argv: Sequence[str]) -> None:
    """Parse, check, make, write."""
    started = time.perf_counter()
    asked = checks.check_flags(spellings.parse(argv))
    # What is wrong with the flags is told before JAX is imported, which takes longer;
    # of several hosts, all must know of it before one ends.
    if not cluster.may_be_several():
        asked.raise_problems()
    from sora_jax.sampling import command
    from sora_jax.worlds.playground.expander import PlaygroundExpander

    command.main(asked, started, PlaygroundExpander())

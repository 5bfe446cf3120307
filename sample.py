"""Make a video: `python sample.py --prompt "a red ball moves right on a green floor"`.

Without `--weights` the model that ships with the package is used, on any machine.
"""

from __future__ import annotations

import sys
import time

from sora_jax import cli
from sora_jax.sampling import checks, spellings


def main(argv: list[str]) -> None:
    """Parse, check, make, write."""
    started = time.perf_counter()
    arguments = spellings.parse(argv)
    checks.refuse(arguments)
    # What is wrong with the flags is told before JAX is imported, which takes longer.
    from sora_jax.sampling import command

    command.main(arguments, started)


if __name__ == "__main__":
    with cli.exits("stopped; the video under way was not written"):
        main(sys.argv[1:])

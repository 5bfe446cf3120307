"""Make a video: `python sample.py --prompt "a red ball moves right on a green floor"`.

Without `--weights` the model that ships with the package is used, on any machine.
"""

from __future__ import annotations

import dataclasses
import sys
import time

import tyro

from sora_jax import cli, runtime, sharding
from sora_jax.sampling import command, flags, job, making


def main(argv: list[str]) -> None:
    """Parse, check, make, write."""
    started = time.perf_counter()
    arguments = tyro.cli(
        flags.Arguments, args=argv, config=(tyro.conf.FlagCreatePairsOff,)
    )
    speaks = runtime.join_hosts()
    with sharding.together():
        asked = job.prepare(arguments)
    asked = dataclasses.replace(asked, seed=sharding.agreed(asked.seed))
    runtime.enable_compilation_cache()
    if speaks:
        runtime.tell()
        print(asked.summary)
    for path in command.run(asked, progress=cli.bars if speaks else making.silent):
        print(path)
    if speaks:
        seconds = time.perf_counter() - started
        print(f"seed {asked.seed}, {seconds:.1f} s")


if __name__ == "__main__":
    with cli.exits("stopped; the video under way was not written"):
        main(sys.argv[1:])

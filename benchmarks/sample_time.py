"""Time of `sample.py` with default settings: `python benchmarks/sample_time.py`.

The whole process is timed: the first run with an empty compilation cache, then again
with what the first one left there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tyro

PROMPT = "a big red ball bounces on a green floor"
ROOT = Path(__file__).parents[1]


def main(weights: str | None = None, warm_runs: int = 3) -> None:
    """Time a cold run and some warm ones.

    Args:
      weights: a folder of weights; by default those that ship with the package.
      warm_runs: runs after the first; the fastest counts.
    """
    if warm_runs < 1:
        raise SystemExit(f"--warm-runs must be >= 1, got {warm_runs}")
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "XDG_CACHE_HOME": folder}
        command = [sys.executable, "sample.py", "--prompt", PROMPT]
        command += ["--out", os.path.join(folder, "video.mp4")]
        command += ["--weights", os.path.abspath(weights)] if weights else []
        seconds = []
        for _ in range(1 + warm_runs):
            started = time.perf_counter()
            subprocess.run(
                command, cwd=ROOT, env=environment, check=True, capture_output=True
            )
            seconds.append(time.perf_counter() - started)
    print(f"cold {seconds[0]:.1f} s, warm {min(seconds[1:]):.1f} s")


if __name__ == "__main__":
    tyro.cli(main)

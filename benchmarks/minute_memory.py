"""Memory of a minute of video beside 4 seconds: `python benchmarks/minute_memory.py`.

Each length is made by the default model and written to an mp4 in a process of its own,
in windows of one shape, and counted is how far the process's memory rises above what
it is when the weights are loaded; programs lie compiled in a cache on disk. Linux only.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import tyro

import sora_jax
from sora_jax.data import outputs
from sora_jax.sampling.model import Model

FPS = 8


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Which lengths to compare."""

    short: int = 33
    long: int = 481
    # Denoising steps; they change nothing but the time.
    steps: int = 4
    # Measure one length and print it as JSON (what the two processes do).
    frames: int | None = None


def resident(field: str) -> float:
    """Memory of this process in MiB: "VmRSS" now, "VmHWM" at most (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    line = next(line for line in lines if line.startswith(field))
    return int(line.split()[1]) / 1024


def make(model: Model, frames: int, steps: int) -> None:
    """Make a video and write it as it comes."""
    chunks = model.stream("a red ball bounces", frames=frames, steps=steps, window=17)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        outputs.write(path, (chunk[0] for chunk in chunks), FPS)


def measure(frames: int, steps: int) -> dict[str, float]:
    """MiB that making a video takes beside the loaded weights."""
    model = sora_jax.load()
    baseline = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the most is from now on
    make(model, frames, steps)
    return {"baseline": baseline, "rise": resident("VmHWM") - baseline}


def main(arguments: Arguments) -> None:
    """Measure both lengths and print how they compare."""
    if arguments.frames is not None:
        print(json.dumps(measure(arguments.frames, arguments.steps)))
        return
    with tempfile.TemporaryDirectory() as cache:
        run(arguments.long, arguments.steps, cache)  # compiles
        rises = []
        for frames in (arguments.short, arguments.long):
            found = run(frames, arguments.steps, cache)
            rises.append(found["rise"])
            print(
                f"{frames} frames: {found['rise']:.0f} MiB above a baseline of "
                f"{found['baseline']:.0f} MiB"
            )
    print(f"ratio {rises[1] / rises[0]:.2f}")


def run(frames: int, steps: int, cache: str) -> dict[str, float]:
    """Measure one length in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, f"--frames={frames}", f"--steps={steps}"],
        env={
            **os.environ,
            "JAX_COMPILATION_CACHE_DIR": cache,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main(tyro.cli(Arguments))

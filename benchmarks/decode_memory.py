"""Memory of decoding a short and a long clip: `python benchmarks/decode_memory.py`.

Each length is decoded in a process of its own, as a stream whose frames are dropped as
they come. Counted are XLA's temporaries (by its own analysis of the larger of the two
programs) and how far the process's memory rises above what it is before decoding, when
both programs lie compiled in a cache on disk. Linux only.
"""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import jax
import tyro
from flax import nnx

from sora_jax.config import VAEConfig
from sora_jax.models.vae import VAE
from sora_jax.sampling import codec

MEBIBYTE = 2**20


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Which lengths to compare."""

    short: int = 33
    long: int = 481
    # Height and width in pixels.
    side: int = 256
    # Measure one length and print it as JSON (what the two processes do).
    frames: int | None = None


def resident(field: str) -> float:
    """Memory of this process in MiB: "VmRSS" now, "VmHWM" at most (Linux)."""
    status = Path("/proc/self/status").read_text()
    found = re.search(rf"{field}:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


def rise(vae: VAE, latents: jax.Array) -> float:
    """MiB that decoding takes above what the process holds before it."""
    baseline = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the most is from now on
    frames = sum(chunk.shape[1] for chunk in codec.decode(vae, latents))
    assert frames == 1 + (latents.shape[1] - 1) * vae.config.time_factor
    return resident("VmHWM") - baseline


def measure(frames: int, side: int) -> dict[str, float]:
    """Decode `frames` frames of noise with the default VAE."""
    vae = VAE(VAEConfig(), rngs=nnx.Rngs(0))
    config = vae.config
    cells = side // config.space_factor
    count = 1 + (frames - 1) // config.time_factor
    shape = (1, count, cells, cells, config.channels)
    latents = jax.block_until_ready(jax.random.normal(jax.random.key(0), shape))
    # Compile the program that opens a stream and the one that goes on with it.
    graphdef, params = nnx.split(vae)
    step = codec.frames_at_once(config, (side, side))
    opening, going_on = latents[:, : step + 1], latents[:, :step]
    run = codec.run_decoder
    _, cache = jax.eval_shape(partial(run, graphdef), params, opening, None)
    programs = [run.lower(graphdef, params, opening, None).compile()]
    if count > step + 1:
        programs.append(run.lower(graphdef, params, going_on, cache).compile())
    analyses: list[Any] = [program.memory_analysis() for program in programs]
    temporaries = max(found.temp_size_in_bytes for found in analyses) / MEBIBYTE
    return {"frames": frames, "temporaries": temporaries, "rise": rise(vae, latents)}


def main(arguments: Arguments) -> None:
    """Measure both lengths and print the ratio."""
    if arguments.frames is not None:
        with tempfile.TemporaryDirectory() as folder:
            jax.config.update("jax_compilation_cache_dir", folder)
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
            print(json.dumps(measure(arguments.frames, arguments.side)))
        return
    totals = []
    for frames in (arguments.short, arguments.long):
        command = [sys.executable, __file__, "--frames", str(frames)]
        command += ["--side", str(arguments.side)]
        found = json.loads(subprocess.check_output(command, text=True))
        totals.append(found["temporaries"] + found["rise"])
        print(
            f"{frames} frames at {arguments.side} x {arguments.side}: temporaries "
            f"{found['temporaries']:.0f} MiB, process {found['rise']:.0f} MiB above "
            f"its baseline, together {totals[-1]:.0f} MiB"
        )
    print(f"ratio {totals[1] / totals[0]:.2f}")


if __name__ == "__main__":
    main(tyro.cli(Arguments))

"""Memory of decoding a short and a long clip: `python benchmarks/decode_memory.py`.

Each length is decoded in a process of its own, as a stream whose frames are dropped as
they come. Counted are XLA's temporaries (by its own analysis of the largest program)
and how far the process's memory rose above what it was before decoding.
"""

from __future__ import annotations

import dataclasses
import json
import resource
import subprocess
import sys

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


def peak() -> float:
    """The most memory that this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(frames: int, side: int) -> dict[str, float]:
    """Decode `frames` frames of noise with the default VAE."""
    vae = VAE(VAEConfig(), rngs=nnx.Rngs(0))
    config = vae.config
    cells = side // config.space_factor
    count = 1 + (frames - 1) // config.time_factor
    shape = (1, count, cells, cells, config.channels)
    latents = jax.block_until_ready(jax.random.normal(jax.random.key(0), shape))
    graphdef, params = nnx.split(vae)
    first = latents[:, : codec.CHUNK + 1]
    compiled = codec.run_decoder.lower(graphdef, params, first, None).compile()
    analysis = compiled.memory_analysis()
    assert analysis is not None
    temporaries = analysis.temp_size_in_bytes / MEBIBYTE
    baseline = peak()
    made = sum(chunk.shape[1] for chunk in codec.decode(vae, latents))
    assert made == frames, (made, frames)
    return {"frames": frames, "temporaries": temporaries, "rise": peak() - baseline}


def main(arguments: Arguments) -> None:
    """Measure both lengths and print the ratio."""
    if arguments.frames is not None:
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

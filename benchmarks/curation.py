"""Time the curation of clips of several sizes, and the search for copies, on one core.

    python benchmarks/curation.py [--seconds 5] [--shots 20000]

The clips are drawn: smooth colours that move, with noise, encoded as H.264.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np
import tyro
from PIL import Image

from sora_jax.data import outputs
from sora_jax.data.curation import fingerprints
from sora_jax.data.curation.file_shots import curate_file
from sora_jax.data.curation.shots import CuratedShot

SIZES = ((256, 256), (480, 854), (720, 1280), (1080, 1920))
FPS = 24


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Flags of the benchmark."""

    # Of each clip.
    seconds: int = 5
    # Among which copies are looked for.
    shots: int = 20_000


def frames(height: int, width: int, count: int):
    """Yield frames of a moving texture, one at a time."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 16, 3), np.uint8))
    still = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    for index in range(count):
        noise = rng.integers(-6, 7, still.shape, np.int16)
        moved = np.roll(still, 3 * index, axis=1) + noise
        yield np.clip(moved, 0, 255).astype(np.uint8)[None]


def curated(folder: Path, size: tuple[int, int], seconds: int) -> CuratedShot:
    """Curate a clip, and print its row of the table."""
    height, width = size
    path, count = folder / f"{height}.mp4", seconds * FPS
    outputs.write(path, frames(height, width, count), FPS)
    began = time.process_time()  # other programs may use the machine
    (shot,) = curate_file(path, path.name)
    taken = time.process_time() - began
    assert isinstance(shot, CuratedShot), shot
    print(f"| {width}x{height} | {count / taken:.0f} | {1 / taken:.2f} |", flush=True)
    return shot


def main() -> None:
    """Print the table."""
    options = tyro.cli(Options)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(
        f"| size | frames/s | clips of {options.seconds} s a second |\n|---|---:|---:|"
    )
    with tempfile.TemporaryDirectory() as folder:
        curated(Path(folder), (64, 64), 1)  # imports, first calls
        shots = [curated(Path(folder), size, options.seconds) for size in SIZES]
    rng = np.random.default_rng(0)
    many = [
        msgspec.structs.replace(shots[0], file=str(i), fingerprint=rng.bytes(32).hex())
        for i in range(options.shots)
    ]
    began = time.process_time()
    fingerprints.mark_duplicates(many)
    print(f"copies among {len(many)} shots: {time.process_time() - began:.1f} s")


if __name__ == "__main__":
    main()

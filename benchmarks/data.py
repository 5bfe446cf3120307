"""Time reading clips, and encoding them with the default VAE, on one core.

    JAX_PLATFORMS=cpu python benchmarks/data.py

Reading is decoding and resizing of encoded clips, as training workers do it; the clips
are a moving texture with noise. Encoding is that of `training/encode.py`, with and
without conditions, beside a training step of the default transformer on as many clips:
conditions that are encoded on the fly would cost this much of every step.
"""

from __future__ import annotations

import dataclasses
import io
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
import tyro
from flax import nnx
from PIL import Image

from sora_jax.config import DiTRun, PackingConfig
from sora_jax.data.encoders import mp4_bytes
from sora_jax.data.sources.resampling import read_at
from sora_jax.data.video import to_float
from sora_jax.plan.arguments import batch_of
from sora_jax.sharding import SINGLE_DEVICE
from sora_jax.training.objectives.flow_matching import FlowMatching
from sora_jax.weights import bundle

SIZES = ((256, 256), (480, 832))  # (height, width)
SECONDS, FPS, READ_FPS = 3, 24, 8
CLIP = (8, 17, 64, 64, 3)  # of encoding: a batch of the default model's clips


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Flags of the benchmark."""

    # Times that each is measured; the least counts.
    repeats: int = 3


def texture(height: int, width: int) -> np.ndarray:
    """Return a clip `uint8[t h w 3]` that moves."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 16, 3), np.uint8))
    still = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    frames = [np.roll(still, 3 * index, axis=1) for index in range(SECONDS * FPS)]
    return np.stack(frames)


def least(run: Callable[[], Any], repeats: int) -> float:
    """Return the least seconds of processor time that a call takes."""
    taken = []
    for _ in range(repeats):
        began = time.process_time()
        jax.block_until_ready(run())
        taken.append(time.process_time() - began)
    return min(taken)


def encoded(clip: np.ndarray, kind: str) -> bytes:
    """Return a clip as the bytes of a file."""
    if kind == "MP4":
        return mp4_bytes([clip], FPS)
    file, images = io.BytesIO(), [Image.fromarray(frame) for frame in clip]
    others = images[1:]
    images[0].save(file, kind, save_all=True, append_images=others, duration=42)
    return file.getvalue()


def main(options: Options) -> None:
    """Print both tables."""
    times = np.arange(SECONDS * READ_FPS) / READ_FPS
    print("| clips of 3 s | read at | clips/s a core |\n|---|---|---:|")
    for size in SIZES:
        for kind in ("MP4", "WEBP"):
            content = encoded(texture(*size), kind)
            read = partial(read_at, content, times, size, "clip")
            seconds = least(read, options.repeats)
            print(f"| {kind} {size[1]}x{size[0]} | 8 fps | {1 / seconds:.2f} |")
    weights = bundle.load()
    graphdef, params = nnx.split(weights.vae)
    run = jax.jit(lambda p, clips: nnx.merge(graphdef, p).encode(clips)[0])
    pixels = to_float(np.random.default_rng(0).integers(0, 255, CLIP, np.uint8))
    run(params, pixels).block_until_ready()
    encode = least(lambda: run(params, pixels), options.repeats) / CLIP[0]
    step = training_step(weights, options) / CLIP[0]
    print(f"\nencoding a clip of 17 frames of 64x64: {1e3 * encode:.1f} ms")
    print(f"training the default transformer on it: {1e3 * step:.1f} ms")
    print(f"a condition encoded on the fly adds {100 * encode / step:.0f}% to a step")


def training_step(weights: Any, options: Options) -> float:
    """Return the seconds of a gradient on a batch of clips."""
    run = DiTRun(
        dit=weights.config.dit,
        text=weights.config.text,
        packing=PackingConfig(tokens=80, rows=CLIP[0], samples=1),
    )
    shapes = batch_of(run, SINGLE_DEVICE)
    batch = jax.tree.map(lambda x: np.ones(x.shape, x.dtype), shapes)
    names = (weights.family.transformer, *weights.family.contexts.values())
    split = {name: nnx.split(weights.networks[name]) for name in names}
    objective = FlowMatching(run.flow)

    @jax.jit
    def gradient(params: Any, batch: Any) -> Any:
        def loss(params: Any) -> Any:
            merged = {n: nnx.merge(split[n][0], params[n]) for n in params}
            return objective(merged, batch, jax.random.key(0), jax.numpy.int32(0))[0]

        return jax.grad(loss)(params)

    params = {name: state for name, (_, state) in split.items()}
    jax.block_until_ready(gradient(params, batch))
    return least(lambda: gradient(params, batch), options.repeats)


if __name__ == "__main__":
    main(tyro.cli(Options))

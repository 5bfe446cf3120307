"""Speed of MagCache against its drift: `python benchmarks/caching.py`.

The curve is measured on one prompt; others are sampled whole, then with steps that
skip. The drift is the relative error of the final latents (the median of six videos),
beside that of as many whole steps without a cache ("fewer"). `--model wan` takes a
small Wan transformer with random weights, whose curve says nothing about trained ones.
"""

from __future__ import annotations

import time
from typing import Any, Literal

import jax
import numpy as np
import tyro
from flax import nnx

from sora_jax.config import SamplingConfig
from sora_jax.families import WAN
from sora_jax.families.wan import models
from sora_jax.models.dit import DiT
from sora_jax.models.text_encoder import TextEncoder
from sora_jax.sampling import calibration
from sora_jax.sampling.model import Model
from sora_jax.sampling.prompt_cache import PromptCache
from sora_jax.sampling.request import Request
from sora_jax.sampling.window_sampler import Window, WindowSampler
from sora_jax.weights import bundle, folders
from sora_jax.weights.model_weights import Weights, weights_in_memory

MEASURED = "a small orange square moves up in front of hills"
SAMPLED = (
    "a red ball bounces on a green floor",
    "a big blue star spins on grey stripes",
    "a small yellow square moves right in front of hills",
    "a green triangle stays still on a brown floor",
    "a white circle moves down on a blue floor",
    "a big purple star bounces on a green floor",
)
# (threshold, steps in a row that may skip).
TRIED = ((0.04, 2), (0.06, 2), (0.12, 2), (0.12, 4), (0.24, 6))


def main(
    model: Literal["default", "wan"] = "default",
    steps: tuple[int, ...] = (12, 24, 50),
    rounds: int = 2,
    measured_steps: int = 0,
) -> None:
    """Print a table of each number of steps.

    Args:
      model: the default weights, or a small Wan model with random ones.
      steps: numbers of denoising steps.
      rounds: of each measurement; the fastest counts.
      measured_steps: of the curve; by default as many as are sampled.
    """
    if rounds < 1:
        raise SystemExit(f"--rounds must be >= 1, got {rounds}")
    weights = random_wan() if model == "wan" else folders.load_weights(bundle.ASSETS)
    print(f"{jax.devices()[0].device_kind}, {weights.config.name}")
    print("| steps | threshold | in a row | skipped | times as fast | drift | fewer |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for count in steps:
        measure(weights, count, measured_steps or count, rounds)


def measure(weights: Weights, steps: int, measured_steps: int, rounds: int) -> None:
    """Print the rows of one number of steps."""
    curve = calibration.calibrate(Model(weights), MEASURED, steps=measured_steps)
    settings = weights.config.sampling.asked(steps=steps)
    dense = Sampling(weights, settings)
    whole = dense.latents()
    for threshold, most in TRIED:
        options: dict[str, Any] = {"cache": "magcache", "cache_curve": curve}
        options |= {"cache_threshold": threshold, "cache_max_skips": most}
        cached = Sampling(weights, settings.asked(**options))
        made, skipped = cached.latents(), cached.skipped
        # In turn, so that both meet the same load.
        pairs = [(dense.seconds(), cached.seconds()) for _ in range(rounds)]
        ratio = min(a for a, _ in pairs) / min(b for _, b in pairs)
        fewer = Sampling(weights, settings.asked(steps=steps - skipped)).latents()
        print(
            f"| {steps} | {threshold:g} | {most} | {skipped} of {steps} | "
            f"{ratio:.2f} | {drift(made, whole):.3f} | {drift(fewer, whole):.3f} |",
            flush=True,
        )


class Sampling:
    """Denoising the same noise with some settings, again and again."""

    def __init__(self, weights: Weights, settings: SamplingConfig):
        request = Request(settings=settings, prompts=SAMPLED, seed=1)
        self.sampler = WindowSampler(weights, PromptCache(weights), request)
        self.window = Window(frames=request.latent_shape(weights.config)[0])

    def latents(self) -> np.ndarray:
        """Return the final latents; the first time, compile."""
        return np.asarray(self.sampler.sample(self.window))

    def seconds(self) -> float:
        """Return how long denoising takes; on a CPU, of the processor."""
        on_cpu = jax.default_backend() == "cpu"  # which others may use too
        clock = time.process_time if on_cpu else time.perf_counter
        start = clock()
        self.latents()
        return clock() - start

    @property
    def skipped(self) -> int:
        """How many steps skip the blocks."""
        times = self.sampler.table.times
        cache = self.sampler.step_cache([self.sampler.expert(t)[0] for t in times])
        return sum(cache.skips) if cache else 0


def drift(made: np.ndarray, whole: np.ndarray) -> float:
    """Return the relative error of latents, the median over videos."""
    pairs = zip(made, whole, strict=True)
    errors = [np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in pairs]
    return float(np.median(errors))


def random_wan() -> Weights:
    """Return a small Wan model with random weights, its head among them."""
    text = bundle.describe(bundle.ASSETS).text
    network = models.dit(width=192, depth=8, heads=4, mlp=512)
    config = models.ModelConfig(
        name="small random Wan",
        vae=models.VAE_21,
        dit=models.dataclasses.replace(network, contexts=(("text", text.width),)),
        text=text,
        sampling=SamplingConfig(steps=50, shift=5.0, frames=9, size=(64, 64)),
        fps=None,
        conditioning="nothing",
    )
    dit: Any = DiT(config.dit, rngs=nnx.Rngs(0))
    kernel = dit.head.kernel
    scale = config.dit.width**-0.5
    kernel[...] = scale * jax.random.normal(jax.random.key(0), kernel.shape)
    return weights_in_memory(
        config,
        bundle.load_tokenizer(bundle.ASSETS),
        family=WAN,
        dit=dit,
        text_encoder=TextEncoder(config.text, rngs=nnx.Rngs(1)),
    )


if __name__ == "__main__":
    tyro.cli(main)

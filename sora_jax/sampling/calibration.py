"""Measure the curve of MagCache: `python -m sora_jax.sampling.calibration`.

A video is sampled without skipping, and the magnitude of the residual is compared
from step to step. One prompt is enough (arXiv 2506.09045, section 3.2); several are
averaged.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import tyro
from jaxtyping import Array, Float

from sora_jax import cli
from sora_jax.files import located, quoted
from sora_jax.sampling import cached_steps, converters, magcache
from sora_jax.sampling.feasibility import check_request
from sora_jax.sampling.model import Model
from sora_jax.sampling.opening import load
from sora_jax.sampling.prompt_cache import PromptCache
from sora_jax.sampling.request import Request
from sora_jax.sampling.window_rows import Window
from sora_jax.sampling.window_sampler import WindowSampler
from sora_jax.weights import bundle
from sora_jax.workdir import write_json


@dataclasses.dataclass(frozen=True, kw_only=True)
class CalibrationOptions:
    """Measure the curve of --cache magcache on a prompt."""

    # A JSON file for the curve; it must not exist.
    out: str
    # What the video shows; several are averaged.
    prompt: tuple[str, ...]
    # A folder of weights; by default those shipped with the package.
    weights: str | None = None
    # Adapters, as FILE or FILE:SCALE.
    lora: tuple[str, ...] = ()
    # Denoising steps; like the others, by default those of the weights. The curve is
    # interpolated to other numbers of steps.
    steps: int | None = None
    # Frames, at most those of a window.
    frames: int | None = None
    # WIDTHxHEIGHT in pixels.
    size: str | None = None
    # Seed of the noise.
    seed: int = 0


class Recorder(cached_steps.ResidualCache):
    """Runs every step whole, and compares its residual with the one before.

    Attributes:
      ratios: of each step; 1 at the beginning of a phase.
    """

    def __init__(self, phases: Sequence[Hashable]):
        super().__init__([False] * len(phases))
        self.phases, self.ratios = phases, list[float]()

    def step(self, number: int, *args: Any, **options: Any) -> Float[Array, "s b n p"]:
        """Take a step, and note the ratio."""
        before, (network, _, tokens, *_) = self.residual, args
        stack = super().step(number, *args, **options)
        ratio = 1.0
        if number > 0 and self.phases[number] == self.phases[number - 1]:
            ratio = float(
                cached_steps.magnitude_ratio(
                    self.residual,
                    before,
                    tokens.target_mask,
                    mesh_plan=network.mesh_plan,
                )
            )
        self.ratios.append(ratio)
        return stack


class _Calibrating(WindowSampler):
    """Samples as usual, with a recorder."""

    recorder: Recorder

    def step_cache(self, phases: Sequence[Hashable]) -> Recorder:
        self.recorder = Recorder(phases)
        return self.recorder


def calibrate(
    model: Model,
    prompts: str | Sequence[str],
    *,
    seed: int = 0,
    **settings: Any,
) -> magcache.Curve:
    """Measure the curve of a model that makes videos from text.

    Args:
      model: its weights.
      prompts: one for each video; the mean over them counts.
      seed: of the noise.
      **settings: fields of `SamplingConfig`, or `recipe`.

    Raises:
      ValueError: names each wrong setting.
    """
    asked = model.config.sampling.asked(**converters.as_settings(settings))
    asked = dataclasses.replace(asked, cache="none")
    texts = converters.as_prompts(prompts)
    request = Request(prompts=texts, settings=asked, seed=seed)
    frames = request.window(model.config)
    request = dataclasses.replace(
        request, settings=dataclasses.replace(asked, frames=frames)
    )
    check_request(request, model.config, model.limits)
    sampler = _Calibrating(model.weights, PromptCache(model.weights), request)
    sampler.sample(Window(frames=request.latent_shape(model.config)[0]))
    ratios = np.round(sampler.recorder.ratios, 5)
    return tuple(zip(sampler.table.times.tolist(), ratios.tolist(), strict=True))


def main(argv: Sequence[str]) -> None:
    """Measure and write."""
    cli.refuse_control(argv, ("--prompt", "--out", "--weights", "--lora"))
    options = tyro.cli(CalibrationOptions, args=argv)
    out = located(options.out, "--out")
    if out.exists():
        raise ValueError(f"--out {quoted(options.out)} exists: give another name")
    named = ("steps", "frames", "seed")
    settings = {n: x for n in named if (x := getattr(options, n)) is not None}
    if options.size is not None:
        settings["size"] = cli.parse_size(options.size)
    model = load(options.weights or bundle.ASSETS, loras=options.lora)
    curve = calibrate(model, options.prompt, **settings)
    record = {"model": model.config.name, "weights": model.weights.digest}
    record |= {"prompts": options.prompt, "settings": settings}
    write_json(out, magcache.curve_file(curve, **record))
    cli.say(os.fspath(out))


if __name__ == "__main__":
    with cli.exit_with_message("stopped; nothing was written"):
        main(sys.argv[1:])

"""Run by `test_plan.py` without type checks, which know no abstract arguments of JAX.

Plans steps of training, denoising and decoding for a chip that has this CPU's one
device.
"""

import dataclasses
import json
import sys

import jax

jax.config.update("jax_disable_most_optimizations", True)

from sora_jax import cli  # noqa: E402
from sora_jax.config import (  # noqa: E402
    SAMPLING_MESH,
    ModelConfig,
    SamplingConfig,
    VAEConfig,
)
from sora_jax.plan import chips, command  # noqa: E402

HERE = chips.Machine(
    name="here", chip=chips.CHIPS["v5e"], chips=1, devices=jax.devices()[:1]
)


def main() -> None:
    """Plan them and print them as JSON."""
    run = cli.load_config(sys.argv[1])
    model = ModelConfig(
        name="tiny",
        vae=VAEConfig(channels=run.dit.channels),
        dit=run.dit,
        text=run.text,
        sampling=SamplingConfig(steps=3, frames=5, size=(32, 32)),
        fps=8.0,
        conditioning="channels",
    )
    for config in (run, model):
        for found in command.plan_steps(config, SAMPLING_MESH, HERE):
            report = command.format_plan(found)
            print(json.dumps(dataclasses.asdict(found) | {"report": report}))


if __name__ == "__main__":
    main()

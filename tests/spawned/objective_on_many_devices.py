"""Run by `test_objectives.py` in a process of its own, with four CPU devices.

Prints how far the gradient of a case on four devices is from one device's, in float64.
"""

import dataclasses
import json
import sys

import jax

jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_disable_most_optimizations", True)

import numpy as np  # noqa: E402

from sora_jax.config import VAERun  # noqa: E402
from tests.helpers.objective_cases import CASES, gradients, plan  # noqa: E402


def main(name):
    """Print how far four devices are from one."""
    config = CASES[name]
    if isinstance(config, VAERun):
        config = dataclasses.replace(
            config, vae=dataclasses.replace(config.vae, dtype="float64")
        )
    else:
        config = dataclasses.replace(
            config,
            dit=dataclasses.replace(config.dit, dtype="float64"),
            text=dataclasses.replace(config.text, dtype="float64"),
        )
    (one, _), alone = gradients(plan(config), config)
    (four, _), shared = gradients(plan(config, 4), config, 4)
    errors = jax.tree.map(
        lambda a, b: (
            float(abs(np.asarray(a) - np.asarray(b)).max())
            / max(float(abs(np.asarray(a)).max()), 1e-30)
        ),
        {"loss": one, "gradients": alone},
        {"loss": four, "gradients": shared},
    )
    print(json.dumps(max(jax.tree.leaves(errors))))


if __name__ == "__main__":
    main(sys.argv[1])

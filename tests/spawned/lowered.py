"""Print the shapes of a lowered denoising step of a config, for tests/test_plan.py.

It runs in a process of its own, in which no types are checked: JAX rebuilds structs of
arguments from descriptions of arrays.
"""

import dataclasses
import json
import sys

import jax

from sora_jax import cli, sharding
from sora_jax.config import RULES, SAMPLING_MESH
from sora_jax.plan import programs
from sora_jax.sharding import MeshPlan

if __name__ == "__main__":
    config = cli.load_config(sys.argv[1])
    mesh = sharding.make_mesh(dataclasses.asdict(SAMPLING_MESH), heads=config.dit.heads)
    lowered = programs.lower_sample_step(config, MeshPlan(mesh, RULES))
    shapes = {tuple(x.shape) for x in jax.tree.leaves(lowered.args_info)}
    print(json.dumps(sorted(map(list, shapes))))

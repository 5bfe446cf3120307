"""Every way to share a step among devices gives the same step."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sora_jax import sharding

TESTS = Path(__file__).parent
AXES = ("data", "fsdp", "context", "tensor")
PAIRS = [{one: 2, other: 2} for one, other in itertools.combinations(AXES, 2)]
# Four devices that share tokens: by heads alone, around a ring alone, and by both.
CONTEXT = [{"context": 4, "ulysses": groups} for groups in (4, 1, 2)]


# An optimizer takes long to compile: few of its steps are taken.
STEPS = [{"data": 2, "fsdp": 2, "tensor": 2}, {"fsdp": 2, "context": 4, "ulysses": 2}]


def on_many_devices(meshes, with_step):
    """How far the steps of meshes are from one device's."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(TESTS.parent),
        "JAX_PLATFORMS": "cpu",
    }
    config = str(TESTS.parent / "configs" / "dit_debug.py")
    command = [sys.executable, TESTS / "on_many_devices.py", config, json.dumps(meshes)]
    command.append("with-step" if with_step else "without")
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("meshes", "with_step"), [(PAIRS, False), (CONTEXT, False), (STEPS, True)]
)
def test_a_step_is_the_same_on_every_mesh(meshes, with_step):
    found = on_many_devices(meshes, with_step)
    assert [one.pop("mesh") for one in found] == meshes
    for errors in found:
        assert set(errors) == {"loss", "gradient"} | ({"step"} if with_step else set())
        assert max(errors.values()) <= 1e-5, errors


def test_context_is_shared_by_heads_and_around_a_ring():
    with pytest.raises(
        ValueError, match=r"mesh.ulysses must divide mesh.context \(1\)"
    ):
        sharding.make_mesh({"data": -1, "ulysses": 2})
    with pytest.raises(ValueError, match="multiply to the 1 slices"):
        sharding.make_mesh({"data": -1, "data_slices": 2})

"""Programs that run in a process of their own."""

import json
import os
import subprocess
import sys
from typing import Any

from tests.helpers.paths import CONFIGS, ROOT


def run_module(name: str, *arguments: object, **environment: str) -> str:
    """Run a module from the root of the repository, and return what it prints."""
    # The emitters of the tests' own processes are less exact in float64.
    settings = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
    done = subprocess.run(
        [sys.executable, "-m", name, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **settings, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def on_many_devices(name: str, meshes: list[dict], *arguments: object) -> list[Any]:
    """What `tests.spawned.NAME` finds on each of some meshes."""
    config = CONFIGS / "dit_debug.py"
    printed = run_module(
        f"tests.spawned.{name}", config, json.dumps(meshes), *arguments
    )
    return [json.loads(line) for line in printed.splitlines()]

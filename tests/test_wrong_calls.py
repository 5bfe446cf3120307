"""Wrong arguments of the Python methods are told by their names."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def results():
    program = Path(__file__).parent / "wrong_calls.py"
    ran = subprocess.run([sys.executable, program], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_every_wrong_argument_is_named(results):
    assert len(results["wrong"]) > 200
    for one in results["wrong"]:
        assert one["error"] in ("ValueError", "TypeError") and one["is_ours"], one
        # Beginnings, since "span" stands for one of spans.
        name = {"first": "video", "second": "video|clips", "size": "size|outpaint"}.get(
            one["name"]
        )
        assert re.search(name or one["name"][:4], one["says"]), one
        assert len(one["says"]) < 1000, one


def test_jax_arrays_and_lists_of_sizes_are_taken(results):
    assert results["taken"] == 5

"""Wrong arguments of the Python methods are told by their names."""

import json
import re

import pytest

from tests.helpers.processes import run_module


@pytest.fixture(scope="module")
def results():
    return json.loads(run_module("tests.spawned.wrong_calls"))


@pytest.mark.slow
def test_every_wrong_argument_is_named(results):
    assert len(results["wrong"]) > 200
    for one in results["wrong"]:
        assert one["error"] in ("ValueError", "TypeError") and one["is_ours"], one
        # Beginnings, since "span" stands for one of spans.
        name = {
            "first": "video",
            "second": "video|clips",
            "init_noise": "noise",
            "size": "size|outpaint",
        }.get(one["name"])
        assert re.search(name or one["name"][:4], one["says"]), one
        assert len(one["says"]) < 1000, one


@pytest.mark.slow
def test_jax_arrays_and_lists_of_sizes_are_taken(results):
    assert results["taken"] == 5

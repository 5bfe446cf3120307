"""What a step of training must not hold or send, read in what XLA made for a TPU.

Needs the `tpu` extra; run by its own command, `pytest tests/pods`.
"""

import re

import pytest

from sora_jax.plan import collectives, hlo
from tests.helpers.processes import run_module

TOKENS, SHARES, WIDTH, DEPTH = 11_776, 4, 1536, 3
# What a device has of a row, and all of it, which it meets between exchanges of heads.
LENGTHS = {TOKENS, TOKENS // SHARES}


@pytest.fixture(scope="module")
def program():
    return run_module("tests.spawned.compiled_for_tpu")


def arrays(program):
    """Kind, sides and layout of every array that lies in the chip's memory."""
    for one in hlo.instructions(program):
        for kind, sides, layout in re.findall(
            r"(\w+)\[([\d,]+)\](\{[^}]*\})?", one.shape
        ):
            if "S(1)" not in layout:
                yield kind, [int(side) for side in sides.split(",")], one


def test_the_program_attends_in_a_kernel(program):
    kernels = [
        one
        for one in hlo.instructions(program)
        if one.kind == "custom-call" and "tpu_custom_call" in one.rest
    ]
    # Over tokens, and over text: one forward, and backward one for all gradients.
    assert len(kernels) == 4
    assert {"all-gather", "all-to-all"} <= {
        c.kind for c in collectives.of_program(program)
    }


def test_no_scores_lie_in_memory(program):
    for _, sides, one in arrays(program):
        assert sum(side in LENGTHS for side in sides) <= 1, one


def test_no_modulation_is_stored_for_each_token(program):
    for _, sides, one in arrays(program):
        assert not (6 in sides and WIDTH in sides and LENGTHS & set(sides)), one


def test_no_device_gathers_all_tokens(program):
    for one in collectives.of_program(program):
        if one.kind == "all-gather" and str(TOKENS) in one.shape:
            assert hlo.shape_bytes(one.shape) <= 8 * TOKENS, one  # ids alone


def test_optimizer_and_average_stay_where_they_are(program):
    """Gathered are parameters alone: layer by layer, and in half precision."""
    for one in collectives.of_program(program):
        if one.kind == "all-gather":
            assert not re.search(rf"f32\[{DEPTH},", one.shape), one

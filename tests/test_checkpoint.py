"""Checkpoints: saved while training goes on, restored bit for bit."""

from __future__ import annotations

import logging
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sora_jax.checkpoint import Checkpoints
from sora_jax.checkpoint.orbax_messages import is_news
from tests.helpers.saved_states import (
    abstract,
    assert_same_bits,
    state,
)


def test_round_trip_is_bit_identical(two_saves):
    expected = state(20)
    with Checkpoints(two_saves) as checkpoints:
        assert checkpoints.steps() == [10, 20]
        restored = checkpoints.restore_latest(abstract(expected))
    assert restored is not None
    assert (restored.step, restored.metadata) == (20, {"seconds": 20})
    assert_same_bits(restored.state, expected)


def test_parts_and_older_steps(two_saves):
    with Checkpoints(two_saves) as checkpoints:
        wanted = {"ema": abstract(state()["ema"])}
        for step, expected in ((None, 20), (10, 10)):
            restored = checkpoints.restore(step, wanted)
            assert restored.step == expected
            assert_same_bits(restored.state, {"ema": state(expected)["ema"]})
        with pytest.raises(ValueError, match=r"no step 15; it has \[10, 20\]"):
            checkpoints.restore(15, wanted)
        wrong = {"ema": {"head": jax.ShapeDtypeStruct((3,), jnp.float32)}}
        with pytest.raises(ValueError, match="20 does not .*another --workdir"):
            checkpoints.restore(None, wrong)


def test_fresh_run_has_nothing(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.restore_latest(abstract(state())) is None
        with pytest.raises(ValueError, match="no undamaged checkpoint"):
            checkpoints.restore(None, {})
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="keep must be at least 2, got 1"):
        Checkpoints(tmp_path, keep=1)


def test_donated_arrays_are_saved_as_they_were(tmp_path):
    step = jax.jit(
        lambda tree: jax.tree.map(lambda x: x * 2 + 1, tree), donate_argnums=0
    )
    live = state(size=1024)
    expected = jax.tree.map(np.array, live)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, live)
        for _ in range(5):
            live = step(live)
        restored = checkpoints.restore_latest(abstract(expected))
    assert restored is not None
    assert_same_bits(restored.state, expected)


def test_however_many_save_one_hushes_their_threads(tmp_path):
    logger, seen = logging.getLogger("absl"), []
    for number in range(3):
        with Checkpoints(tmp_path / str(number)) as checkpoints:
            checkpoints.save(1, state(1))
        seen.append((sys.excepthook, list(logger.filters)))
    assert seen[0] == seen[1] == seen[2] and is_news in logger.filters


def test_keeps_the_newest_and_repeats_nothing(tmp_path):
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for step in (1, 2, 3, 3):
            checkpoints.save(step, {"model": {"x": jnp.arange(step)}})
        checkpoints.wait()
        assert checkpoints.steps() == [2, 3]


def test_failed_save_is_told(tmp_path, monkeypatch):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {"model": {"x": jnp.arange(3)}})
        checkpoints.wait()

        def full(*_):
            raise OSError("No space left on device")

        monkeypatch.setattr("sora_jax.manifest.write_bytes", full)
        checkpoints.save(2, {"model": {"x": jnp.arange(3)}})
        with pytest.raises(OSError, match="step 2 .*No space left.* untouched"):
            checkpoints.wait()
        assert checkpoints.steps() == [1]


def test_a_step_may_hold_more_than_is_asked_of_it_and_never_less(two_saves):
    head = abstract(state()["model"]["head"])
    with Checkpoints(two_saves) as checkpoints:
        restored = checkpoints.restore(20, {"model": {"head": head}})
        assert_same_bits(restored.state["model"], {"head": state(20)["model"]["head"]})
        with pytest.raises(ValueError, match="it holds no model/tail"):
            checkpoints.restore(20, {"model": {"head": head, "tail": head}})

"""A disk without room costs one line, and the run goes on when there is room."""

import contextlib
import json
import os
import resource
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath

from sora_jax.checkpoint import Checkpoints
from sora_jax.config import VAERun
from sora_jax.data.records import Record, has_shard, write_shard
from sora_jax.training.report import Report
from sora_jax.workdir import write_json
from tests.helpers.curves import scalars


@contextlib.contextmanager
def room_for(size):
    """Files longer than this cannot be written, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def state(step, size=200_000):
    return {"model": {"x": jax.random.normal(jax.random.key(step), (size,))}}


def test_a_save_without_room_is_one_line_and_leaves_the_last_step(tmp_path, capfd):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state(1))
    with pytest.raises(OSError, match=r"step 2 .*0.80 MB.*free space") as e:
        with Checkpoints(tmp_path) as checkpoints, room_for(100_000):
            checkpoints.save(2, state(2))
            checkpoints.wait()
    assert "\n" not in str(e.value) and "Traceback" not in capfd.readouterr().err
    abstract = {"model": {"x": jax.ShapeDtypeStruct((200_000,), jnp.float32)}}
    with Checkpoints(tmp_path) as checkpoints:
        restored = checkpoints.restore_latest(abstract)
        assert restored is not None and restored.step == 1
        checkpoints.save(2, state(2))
        checkpoints.wait()
        assert checkpoints.steps() == [1, 2]
    left = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert left == ["1", "2"]


def test_clips_without_room_are_one_line_and_are_written_again(tmp_path):
    rng = np.random.default_rng(0)
    latents, extra = rng.normal(size=(2, 3, 16, 16, 16)).astype(np.float32)
    record = Record(
        latents=latents, extra=extra, captions=("a",), stretches=((0, ("a",)),)
    )
    with pytest.raises(OSError, match="00000.arrayrecord, .* MB.* free space"):
        with room_for(20_000):
            write_shard(tmp_path, 0, [record] * 4)
    assert not has_shard(tmp_path, 0) and not list(tmp_path.iterdir())
    write_shard(tmp_path, 0, [record] * 4)
    assert has_shard(tmp_path, 0)


def test_any_file_without_room_says_what_it_takes(tmp_path):
    with pytest.raises(OSError, match="config.json, .* 0.01 MB"):
        with room_for(1000):
            write_json(epath.Path(tmp_path) / "config.json", {"a": "b" * 9000})
    assert not list(tmp_path.iterdir())


def test_curves_without_room_do_not_end_a_run(tmp_path):
    with Report(str(tmp_path), VAERun(steps=99, log_every=1)) as report:
        report.start(0, {"FLOP": 1.0}, 1.0)
        for step in range(1, 40):
            with room_for(0 if 10 <= step < 30 else 2**20):
                report.step(step, {"loss": float(step)})
                report._tensorboard.flush()
    told = scalars(tmp_path)
    assert {1, 9, 30, 39} <= told.keys() and told[39] == [39.0]


def test_an_evaluation_without_room_is_one_line(tmp_path):
    with Report(str(tmp_path), VAERun(steps=4)) as report:
        report.start(0, {"FLOP": 1.0}, 1.0)
        report.evaluation(1, {"loss": 0.5}, {})
        with pytest.raises(OSError, match="evaluations.jsonl, .* MB"):
            with room_for(30):
                report.evaluation(2, {"loss": 0.25}, {})
    with Report(str(tmp_path), VAERun(steps=4)) as report:
        report.start(2, {"FLOP": 1.0}, 1.0)
        assert report.has(1) and not report.has(2)


@pytest.mark.parametrize(
    "line",
    ["[1]", "5", "null", '"a"', "{}", '{"step": "1"}', '{"step": null}', "[" * 10**5],
)
def test_a_line_of_another_kind_is_no_evaluation(tmp_path, line):
    lines = tmp_path / "evaluations.jsonl"
    good = [json.dumps({"step": 1, "loss": float("nan")}), json.dumps({"step": 2})]
    lines.write_text("\n".join([good[0], line, good[1]]) + "\n")
    with Report(str(tmp_path), VAERun(steps=4)) as report:
        report.start(3, {"FLOP": 1.0}, 1.0)
        assert report.has(1) and report.has(2)
    assert lines.read_text().splitlines() == good


def test_a_pipe_in_the_place_of_evaluations_is_named(tmp_path):
    os.mkfifo(tmp_path / "evaluations.jsonl")
    with Report(str(tmp_path), VAERun(steps=4)) as report:
        with pytest.raises(ValueError, match="evaluations .* is a pipe"):
            report.start(3, {"FLOP": 1.0}, 1.0)


def test_a_save_is_not_begun_without_room_for_as_much_as_the_last_took(
    tmp_path, monkeypatch
):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state(1, size=10))
        checkpoints.wait()
        folder = tmp_path / "checkpoints" / "1"
        took = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
        took -= (folder / "manifest.json").stat().st_size
        usage = shutil.disk_usage(tmp_path)
        for free, is_enough in ((took - 1, False), (took, True)):
            room = usage._replace(free=free)
            monkeypatch.setattr(shutil, "disk_usage", lambda _, room=room: room)
            if is_enough:
                checkpoints.save(2, state(2, size=10))
                continue
            with pytest.raises(OSError, match="step 2 .*No space left for .*/2, which"):
                checkpoints.save(2, state(2, size=10))
            assert checkpoints.steps() == [1]
            assert [path.name for path in folder.parent.iterdir()] == ["1"]

"""Checkpoints that a kill, a disk or a stranger damaged."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys

import pytest

from sora_jax.checkpoint import Checkpoints
from tests.helpers.saved_states import (
    abstract,
    assert_same_bits,
    state,
)


def test_every_file_of_the_newest_cut_or_missing(two_saves, tmp_path, caplog):
    newest = two_saves / "checkpoints" / "20"
    names = [path.relative_to(newest) for path in newest.rglob("*") if path.is_file()]
    assert len(names) > 8
    wanted = abstract(state())
    for index, name in enumerate(names):
        for damage in ("cut", "missing"):
            workdir = tmp_path / f"{index}{damage}"
            shutil.copytree(two_saves, workdir)
            victim = workdir / "checkpoints" / "20" / name
            if damage == "cut":
                os.truncate(victim, victim.stat().st_size // 2)
            else:
                victim.unlink()
            caplog.clear()
            with Checkpoints(workdir) as checkpoints:
                assert checkpoints.restore(None, {}).step == 10
                assert (workdir / "checkpoints" / "20").exists()
                restored = checkpoints.restore_latest(wanted)
            assert restored is not None and restored.step == 10, (name, damage)
            warned = [
                r.getMessage() for r in caplog.records if r.levelno > logging.INFO
            ]
            path = workdir / "checkpoints" / "20"
            assert any(f"{path} is skipped" in m for m in warned), (name, damage)
            shelved = (workdir / "damaged_checkpoints" / "20").is_dir()
            assert shelved == ((name.name, damage) != ("manifest.json", "missing"))
            assert not (workdir / "checkpoints" / "20").exists()
    assert_same_bits(restored.state, state(10))


def test_training_goes_on_after_damage(two_saves, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(two_saves, workdir)
    (workdir / "checkpoints" / "20" / "state").mkdir()  # a stranger does no harm
    (workdir / "checkpoints" / "20" / "_CHECKPOINT_METADATA").unlink()
    (workdir / "checkpoints" / "30.orbax-checkpoint-tmp").mkdir()  # as a kill leaves
    with Checkpoints(workdir) as checkpoints:
        restored = checkpoints.restore_latest(abstract(state()))
        assert restored is not None and restored.step == 10
        checkpoints.save(20, state(21))
        checkpoints.save(30, state(30))
        checkpoints.wait()
        assert checkpoints.steps() == [20, 30]
        restored = checkpoints.restore(20, abstract(state()))
    assert_same_bits(restored.state, state(21))
    left = sorted(path.name for path in (workdir / "checkpoints").iterdir())
    assert left == ["20", "30"]


def test_nothing_of_anyone_elses_is_deleted(two_saves, tmp_path):
    workdir, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    shutil.copytree(two_saves, workdir)
    for name in ("5", "2024", "elsewhere"):
        folder = workdir / "checkpoints" / name
        folder = elsewhere if name == "elsewhere" else folder
        folder.mkdir()
        (folder / "mine.txt").write_text(name)
    for name in ("7", "2025"):
        (workdir / "checkpoints" / name).symlink_to(elsewhere)
    half = workdir / "checkpoints" / "30"
    shutil.copytree(workdir / "checkpoints" / "20", half)
    (half / "manifest.json").unlink()
    for step in (20, 40):
        with Checkpoints(workdir) as checkpoints:
            restored = checkpoints.restore_latest(abstract(state()))
            assert restored is not None and restored.step == step
            for later in (step + 10, step + 20):
                checkpoints.save(later, state(later))
        again = workdir / "checkpoints" / "2024"  # which was shelved
        again.mkdir()
        (again / "mine.txt").write_text("2024")
    shelf = workdir / "damaged_checkpoints"
    assert sorted(path.name for path in shelf.iterdir()) == ["2024", "2024-1", "2025"]
    found = {
        (path.parent.name, path.read_text())
        for path in (*shelf.glob("*/mine.txt"), *workdir.glob("checkpoints/*/mine.txt"))
    }
    assert found == {
        ("5", "5"),
        ("7", "elsewhere"),
        ("2024", "2024"),
        ("2024-1", "2024"),
        ("2025", "elsewhere"),
    }


def test_never_starts_anew_when_all_is_damaged(two_saves, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(two_saves, workdir)
    for step in ("10", "20"):
        shutil.rmtree(workdir / "checkpoints" / step / "model")
    with Checkpoints(workdir) as checkpoints:
        with pytest.raises(ValueError, match=r"no undamaged .* \[10, 20\].*--workdir"):
            checkpoints.restore_latest(abstract(state()))
        with pytest.raises(ValueError, match="20 is damaged .*model"):
            checkpoints.restore(20, {})
    assert (workdir / "checkpoints" / "20").exists()


# Forks a writer again and again from one warm process, since importing takes longer
# than saving; the parent never touches a device, so its children may.
KILLED = """
import os, random, signal, sys, time, warnings
warnings.simplefilter("ignore")
import jax, jax.numpy as jnp, numpy as np
from sora_jax.checkpoint import Checkpoints
from sora_jax.checkpoint.orbax_messages import is_news

workdir, rounds = sys.argv[1], int(sys.argv[2])

def state(step):
    return {"model": {str(i): jnp.full((50, 7), step + i) for i in range(20)}}

def run(report):
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), state(0))
    checkpoints = Checkpoints(workdir)
    restored = checkpoints.restore_latest(abstract)
    step = restored.step if restored else 0
    if restored:
        same = jax.tree.map(np.array_equal, restored.state, state(step))
        assert all(jax.tree.leaves(same)), "values of another step"
        assert restored.metadata == {"step": step}
    os.write(report, f"{step}\\n".encode())
    while True:
        step += 1
        checkpoints.save(step, state(step), {"step": step})
        os.write(report, b".")

random.seed(0)
steps, save_seconds = [], 0.1
for _ in range(rounds):
    read, report = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            run(report)
        finally:
            import traceback
            traceback.print_exc()
            os._exit(1)
    os.close(report)
    # However slow the machine is, the kill comes within a save or between two.
    with os.fdopen(read, "rb", buffering=0) as told:
        steps.append(int(told.readline() or -1))
        for _ in range(random.randrange(4)):
            started = time.perf_counter()
            told.read(1)
            save_seconds = time.perf_counter() - started
        time.sleep(random.uniform(0.0, 1.5) * save_seconds)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
print(steps)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_any_moment(tmp_path):
    workdir = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(workdir), "14"],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        check=False,
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    steps = json.loads(done.stdout)
    # Every start found a whole checkpoint, never an older one than the start before.
    assert steps == sorted(steps) and steps[0] == 0 and steps[-1] > 5, steps

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import grain
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sora_jax.checkpoint import Checkpoints, _is_news
from sora_jax.workdir import keep_config, refuse_other_config


def iterator() -> grain.DatasetIterator:
    dataset = grain.MapDataset.range(100).seed(1).shuffle().batch(3)
    return iter(dataset.to_iter_dataset())


def state(seed: int = 0, size: int = 64) -> dict:
    keys = jax.random.split(jax.random.key(seed), 3)
    model = {
        "blocks": {"kernel": jax.random.normal(keys[0], (size, size))},
        "head": jax.random.normal(keys[1], (size,), jnp.bfloat16),
    }
    optimizer = {"step": jnp.int32(seed), "mu": jax.random.normal(keys[2], (3, 5))}
    return {"model": model, "ema": jax.tree.map(jnp.negative, model), "opt": optimizer}


def abstract(tree: dict) -> dict:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def assert_same_bits(a: dict, b: dict) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


@pytest.fixture(scope="module")
def two_saves(tmp_path_factory) -> Path:
    workdir = tmp_path_factory.mktemp("run")
    with Checkpoints(workdir) as checkpoints:
        data = iterator()
        for step in (10, 20):
            next(data)
            checkpoints.save(step, state(step), data, {"seconds": step})
    return workdir


def test_round_trip_is_bit_identical(two_saves):
    expected = state(20)
    data, reference = iterator(), iterator()
    next(reference)
    next(reference)
    with Checkpoints(two_saves) as checkpoints:
        assert checkpoints.steps() == [10, 20]
        restored = checkpoints.restore_latest(abstract(expected), data)
    assert restored is not None
    assert (restored.step, restored.metadata) == (20, {"seconds": 20})
    assert_same_bits(restored.state, expected)
    np.testing.assert_array_equal(next(data), next(reference))


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
        with pytest.raises(ValueError, match="20 does not fit .*another --workdir"):
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
    live, data = state(size=1024), iterator()
    expected = jax.tree.map(np.array, live)
    next(data)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, live, data)
        for _ in range(5):
            live = step(live)
            next(data)
        data = iterator()
        restored = checkpoints.restore_latest(abstract(expected), data)
    assert restored is not None
    assert_same_bits(restored.state, expected)
    reference = iterator()
    next(reference)
    np.testing.assert_array_equal(next(data), next(reference))


def test_however_many_save_one_hushes_their_threads(tmp_path):
    logger, seen = logging.getLogger("absl"), []
    for number in range(3):
        with Checkpoints(tmp_path / str(number)) as checkpoints:
            checkpoints.save(1, state(1))
        seen.append((sys.excepthook, list(logger.filters)))
    assert seen[0] == seen[1] == seen[2] and _is_news in logger.filters


def test_keeps_the_newest_and_repeats_nothing(tmp_path):
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for step in (1, 2, 3, 3):
            checkpoints.save(step, {"model": {"x": jnp.arange(step)}})
        checkpoints.wait()
        assert checkpoints.steps() == [2, 3]
        with pytest.raises(ValueError, match="must not have the name 'data'"):
            checkpoints.save(4, {"data": {}})


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
                restored = checkpoints.restore_latest(wanted, iterator())
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
        restored = checkpoints.restore_latest(abstract(state()), iterator())
        assert restored is not None and restored.step == 10
        checkpoints.save(20, state(21), iterator())
        checkpoints.save(30, state(30), iterator())
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
        with pytest.raises(ValueError, match=r"no undamaged .* \[10, 20\].*start anew"):
            checkpoints.restore_latest(abstract(state()), iterator())
        with pytest.raises(ValueError, match="20 is damaged .*model"):
            checkpoints.restore(20, {})
    assert (workdir / "checkpoints" / "20").exists()


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


# Forks a writer again and again from one warm process, since importing takes longer
# than saving; the parent never touches a device, so its children may.
KILLED = """
import os, random, signal, sys, time, warnings
warnings.simplefilter("ignore")
import grain, jax, jax.numpy as jnp, numpy as np
from sora_jax.checkpoint import Checkpoints, _is_news

workdir, rounds = sys.argv[1], int(sys.argv[2])

def state(step):
    return {"model": {str(i): jnp.full((50, 7), step + i) for i in range(20)}}

def iterator():
    return iter(grain.MapDataset.range(10**6).to_iter_dataset())

def run(report):
    data = iterator()
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), state(0))
    checkpoints = Checkpoints(workdir)
    restored = checkpoints.restore_latest(abstract, data)
    step = restored.step if restored else 0
    if restored:
        same = jax.tree.map(np.array_equal, restored.state, state(step))
        assert all(jax.tree.leaves(same)), "values of another step"
        assert restored.metadata == {"step": step}
        assert next(data) == step, "data of another step"
    os.write(report, f"{step}\\n".encode())
    data = iterator()
    for _ in range(step):
        next(data)
    while True:
        step += 1
        next(data)
        checkpoints.save(step, state(step), data, {"step": step})
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


def test_same_config(tmp_path):
    config = {"steps": 10, "optim": {"lr": 1e-3, "betas": (0.9, 0.99)}, "name": "dit"}
    refuse_other_config(tmp_path / "run", config)
    assert not (tmp_path / "run").exists()  # A run that is refused leaves nothing.
    keep_config(tmp_path / "run", config)
    refuse_other_config(tmp_path / "run", config)
    longer = {**config, "steps": 20}
    refuse_other_config(tmp_path / "run", longer, may_differ=("steps",))
    keep_config(tmp_path / "run", longer)
    assert json.loads((tmp_path / "run/config.json").read_text())["steps"] == 20
    other = {"steps": 20, "optim": {"lr": 3e-4, "betas": (0.9, 0.99)}, "nane": "dit"}
    with pytest.raises(ValueError, match="--workdir .*run' holds the run") as error:
        refuse_other_config(tmp_path / "run", other, may_differ=("steps", "opt"))
    lines = [line for line in str(error.value).splitlines() if line.startswith("  ")]
    assert lines == [
        '  name: "dit" in the run, absent now',
        '  nane: absent in the run, "dit" now',
        "  optim.lr: 0.001 in the run, 0.0003 now",
    ]
    # A field that an earlier version did not know has its default.
    newer = {**longer, "start": "", "kind": "a"}
    refuse_other_config(tmp_path / "run", newer, defaults={"start": "", "kind": "a"})
    with pytest.raises(ValueError, match='start: "" in the run, "b" now'):
        changed = {**longer, "start": "b"}
        refuse_other_config(tmp_path / "run", changed, defaults={"start": ""})
    (tmp_path / "run/config.json").write_text("{")
    with pytest.raises(ValueError, match="config.json is not JSON"):
        refuse_other_config(tmp_path / "run", config)

"""One bit of a checkpoint is another: it never loads, and the step before is taken."""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath

from sora_jax import hashes, manifest
from sora_jax.checkpoint import Checkpoints, Steps


def state(step: int) -> dict:
    return {"model": {"w": jnp.arange(40.0) + step, "n": jnp.int32(step)}}


ABSTRACT = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), state(0))


@pytest.fixture(scope="module")
def two_saves(tmp_path_factory) -> Path:
    workdir = tmp_path_factory.mktemp("run")
    with Checkpoints(workdir) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, state(step), {"rate": 0.25 * step})
    return workdir


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def is_first_taken(workdir: Path) -> bool:
    with Checkpoints(workdir) as checkpoints:
        assert checkpoints.restore(None, ABSTRACT).step == 1
        restored = checkpoints.restore_latest(ABSTRACT)
    assert restored is not None and restored.metadata == {"rate": 0.25}
    np.testing.assert_array_equal(restored.state["model"]["w"], state(1)["model"]["w"])
    return restored.step == 1 and (workdir / "damaged_checkpoints" / "2").is_dir()


def test_a_bit_of_any_file_of_a_step_is_noticed(two_saves, tmp_path):
    rng = np.random.default_rng(0)
    names = [p.relative_to(two_saves) for p in files_of(two_saves / "checkpoints/2")]
    kinds = {"manifest.json", "_METADATA", "manifest.ocdbt"}
    assert kinds <= {name.name for name in names} and len(names) > 7
    for number, name in enumerate(names):
        workdir = shutil.copytree(two_saves, tmp_path / str(number))
        flip(workdir / name, int(rng.integers(8 * (workdir / name).stat().st_size)))
        assert is_first_taken(workdir), name


def test_every_bit_of_a_manifest_is_noticed(two_saves, tmp_path):
    folder = epath.Path(shutil.copytree(two_saves / "checkpoints/2", tmp_path / "2"))
    path = folder / "manifest.json"
    whole = path.read_bytes()
    assert not manifest.damage(folder)
    for bit in range(0, 8 * len(whole), 7):
        flip(path, bit)
        assert manifest.damage(folder), (bit, whole[bit // 8 - 9 : bit // 8 + 9])
        path.write_bytes(whole)


@pytest.mark.parametrize(
    "content",
    [
        b'{"files": 5}',
        b'{"files": {"a": "b"}}',
        b'{"files": {"../../../etc/passwd": 5}}',
        b'{"files": {"/etc/passwd": 5}}',
        b'{"files": {"a": -1}}',
        b'{"files": {"model": 5}}',
        b'{"files": {}, "metadata": []}',
        b"[" * 10**6,
        b'{"files": {"_METADATA": 5}, "metadata": {"a": '
        + b"[" * 99
        + b"]" * 99
        + b"}}",
        b'{"files": {}, "seal": "xxh3:0"}',
        b"\xff\xfe",
        b"5",
        b"",
    ],
)
def test_a_manifest_of_another_kind_is_a_damaged_step(two_saves, tmp_path, content):
    workdir = shutil.copytree(two_saves, tmp_path / "run")
    (workdir / "checkpoints/2/manifest.json").write_bytes(content)
    assert is_first_taken(workdir)


def test_manifests_of_earlier_versions_have_lengths_alone(two_saves, tmp_path):
    workdir = shutil.copytree(two_saves, tmp_path / "run")
    path = workdir / "checkpoints/2/manifest.json"
    told = json.loads(path.read_text())
    lengths = {name: kept["length"] for name, kept in told["files"].items()}
    # Python writes this where a config says so.
    text = json.dumps({"files": lengths, "metadata": {"clip": float("inf")}})
    path.write_text(text)
    with Checkpoints(workdir) as checkpoints:
        restored = checkpoints.restore_latest(ABSTRACT)
    assert restored is not None and restored.step == 2
    assert restored.metadata == {"clip": float("inf")}


def test_strangers_among_the_steps_do_no_harm(two_saves, tmp_path):
    workdir = shutil.copytree(two_saves, tmp_path / "run")
    root = workdir / "checkpoints"
    (root / ".DS_Store").write_bytes(b"\0")
    (root / "9").write_bytes(b"a file like a step")
    (root / "٣").mkdir()
    (root / "007").mkdir()
    (root / ("1" * 200)).mkdir()
    os.mkfifo(root / "8")
    os.mkfifo(root / "2" / "pipe")
    with Checkpoints(workdir) as checkpoints:
        assert checkpoints.restore_latest(ABSTRACT).step == 2
        for step in (3, 8, 9):
            checkpoints.save(step, state(step))
        checkpoints.wait()
        assert checkpoints.steps()[-2:] == [8, 9]
    (root / "9" / "manifest.json").unlink()
    os.mkfifo(root / "9" / "manifest.json")
    with Checkpoints(workdir) as checkpoints:
        assert checkpoints.restore_latest(ABSTRACT).step == 8


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(two_saves, tmp_path):
    workdir = shutil.copytree(two_saves, tmp_path / "run")
    path = workdir / "checkpoints/2/model/_METADATA"
    path.unlink()
    os.mkfifo(path)
    assert is_first_taken(workdir)


def test_each_of_several_hosts_hashes_and_verifies_its_part(two_saves, tmp_path):
    """What two hosts would do, one after the other."""
    folder = epath.Path(shutil.copytree(two_saves / "checkpoints/2", tmp_path / "2"))
    (folder / "manifest.json").unlink()
    own = folder / "model/ocdbt.process_1/d/1"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"of the second host")
    manifest.leave_hashes(folder, 1, 2)
    left = json.loads((folder / ".hashes_1.json").read_text())
    assert left == {"model/ocdbt.process_1/d/1": hashes.of_file(own)}
    manifest.write(folder, {}, 2)
    kept = json.loads((folder / "manifest.json").read_text())["files"]
    names = {str(path.relative_to(tmp_path / "2")) for path in files_of(tmp_path / "2")}
    assert kept.keys() == names - {"manifest.json"}
    assert not manifest.damage(folder)
    for name in kept:
        flip(folder / name, 0)
        told = [manifest.changes(folder, part, 3) for part in range(3)]
        assert sorted(told)[:2] == ["", ""] and name in max(told), told
        flip(folder / name, 0)


def test_hosts_agree_on_a_step_that_all_of_them_find_whole(
    two_saves, tmp_path, monkeypatch, caplog
):
    workdir = shutil.copytree(two_saves, tmp_path / "run")
    votes = iter([0.0, 1.0])  # the least of what all hosts say of steps 2 and 1
    monkeypatch.setattr("sora_jax.sharding.min_over_hosts", lambda value: next(votes))
    with caplog.at_level(logging.WARNING):
        assert Steps(epath.Path(workdir)).newest_on_all_hosts() == (1, [2])
    assert not list(votes)

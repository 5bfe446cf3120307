"""One run to a workdir, whoever dies and however."""

import os
import signal
import subprocess
import sys

import msgspec
import pytest
from etils import epath

from sora_jax import locking
from sora_jax.config import VAERun
from sora_jax.locking import NAME, Holder, Lock, only_run
from sora_jax.training import loop

HOLD = """
import sys, time
from sora_jax.locking import only_run
with only_run(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def hold(workdir):
    command = [sys.executable, "-c", HOLD, str(workdir)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_the_second_run_is_refused_until_the_first_is_killed(tmp_path):
    workdir = tmp_path / "run"
    process = hold(workdir)
    told = f"in use by process {process.pid} on .*: wait for its end, stop it, or give"
    try:
        with pytest.raises(ValueError, match=told), only_run(workdir):
            raise AssertionError("two runs in one workdir")

        def make_job(mesh):
            raise AssertionError("heavy work before the refusal")

        with pytest.raises(ValueError, match=told):
            loop.train(VAERun(), str(workdir), make_job)
        process.send_signal(signal.SIGSTOP)  # asleep is not dead
        with pytest.raises(ValueError, match=told), only_run(workdir):
            raise AssertionError("two runs in one workdir")
    finally:
        process.kill()
        process.communicate()
    with only_run(workdir):
        assert (workdir / NAME).exists()
    assert not list(workdir.iterdir())


def test_a_run_that_leaves_nothing_leaves_no_folder_either(tmp_path):
    with only_run(tmp_path / "a" / "b"):
        pass
    assert not list(tmp_path.iterdir())
    with only_run(tmp_path / "a" / "b"):
        (tmp_path / "a" / "kept").write_text("")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["kept"]


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A lock of another host, whose pulse is fast."""
    monkeypatch.setattr(locking, "PULSE", 0.05)
    monkeypatch.setattr(locking, "PATIENCE", 0.3)
    lock = Lock(epath.Path(tmp_path))
    lock.holder.host, lock.holder.place = "far", "another machine"
    lock.take()
    return lock


def test_a_process_of_another_host_is_known_by_its_pulse(elsewhere, tmp_path):
    with pytest.raises(ValueError, match=f"process {os.getpid()} on 'far'"):
        with only_run(tmp_path):
            raise AssertionError("two runs in one workdir")
    elsewhere._stop.set()  # as if it were killed
    elsewhere._pulse.join()
    with only_run(tmp_path):
        elsewhere.give_back()  # it is no longer its own
        assert (tmp_path / NAME).exists()


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b'{"process": "a"}', b"\0" * 999]
)
def test_what_is_no_lock_holds_nothing(tmp_path, content):
    (tmp_path / NAME).write_bytes(content)
    with only_run(tmp_path):
        held = msgspec.json.decode((tmp_path / NAME).read_bytes(), type=Holder)
        assert held.process == os.getpid()


def test_a_process_of_the_same_number_is_another(tmp_path):
    lock = Lock(epath.Path(tmp_path))
    lock.holder.started -= 100
    lock.take()
    with only_run(tmp_path):
        pass
    lock._stop.set()


def test_other_hosts_of_a_run_take_no_lock(tmp_path):
    with only_run(tmp_path), only_run(tmp_path, is_first=False):
        assert [path.name for path in tmp_path.iterdir()] == [NAME]

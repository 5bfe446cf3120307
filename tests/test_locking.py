"""One run to a workdir, whoever dies and however."""

import os
import signal
import subprocess
import sys
import time

import msgspec
import pytest
from etils import epath

from sora_jax import lock_files, locking
from sora_jax.config import VAERun
from sora_jax.lock_files import NAME, Holder
from sora_jax.locking import Lock, only_run
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

        def set_up(mesh):
            raise AssertionError("heavy work before the refusal")

        with pytest.raises(ValueError, match=told):
            loop.train(VAERun(), str(workdir), set_up)
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


@pytest.mark.parametrize("content", [b"", b"\0" * 1024, b'{"host": "a'.ljust(1024)])
def test_what_a_crash_leaves_of_a_lock_holds_nothing(tmp_path, content):
    (tmp_path / NAME).write_bytes(content)
    with only_run(tmp_path):
        held = msgspec.json.decode((tmp_path / NAME).read_bytes(), type=Holder)
        assert held.process == os.getpid()


@pytest.mark.parametrize(
    "content", [b"[]", b"{", b'{"process": "a"}', b"\0" * 999, b'{"a": 1}' * 999]
)
def test_a_file_of_someone_elses_is_left_as_it_is(tmp_path, content):
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(ValueError, match=r"lock.json' is no lock .*: move it away"):
        with only_run(tmp_path):
            raise AssertionError("someone's file was taken for a lock")
    assert (tmp_path / NAME).read_bytes() == content


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_never_followed(tmp_path, there):
    victim, workdir = tmp_path / "victim.txt", tmp_path / "run"
    workdir.mkdir()
    if there:
        victim.write_text("")
    (workdir / NAME).symlink_to(victim)
    with pytest.raises(ValueError, match="is no regular file, .*: move it away"):
        with only_run(workdir):
            raise AssertionError("a link was taken for a lock")
    assert victim.exists() == there and not (there and victim.read_text())
    assert (workdir / NAME).is_symlink()


@pytest.mark.parametrize("kind", [OSError, ValueError])
def test_a_disk_that_is_away_for_a_while_ends_no_pulse(
    elsewhere, tmp_path, monkeypatch, kind
):
    def fail(*_):
        raise kind("Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(lock_files, "opened", fail)
        beats = elsewhere.holder.beats
        while elsewhere.holder.beats < beats + 3:
            assert elsewhere._pulse.is_alive()
            time.sleep(0.01)
    elsewhere.check()
    elsewhere.give_back()
    assert not elsewhere.path.exists()
    with pytest.raises(FloatingPointError, match="what ended the run"):
        with only_run(tmp_path):
            monkeypatch.setattr(lock_files, "opened", fail)
            raise FloatingPointError("what ended the run")


def take_over(workdir):
    """Another run's lock, as if this process had been asleep for long."""
    other = Lock(epath.Path(workdir))
    other.holder.host = "far"
    other._write()


TAKEN = "was taken over by process .* on 'far', .*: nothing more is saved here"


def test_who_loses_the_lock_saves_no_more(tmp_path):
    with pytest.raises(OSError, match=TAKEN), only_run(tmp_path) as lock:
        lock.check()
        take_over(tmp_path)
        lock.check()
    # What is another's is not taken away either.
    assert (tmp_path / NAME).exists()


def test_of_two_that_find_a_bucket_free_one_has_it(tmp_path, monkeypatch):
    # As a bucket does, which knows no first, and no place to write in.
    monkeypatch.setattr(locking.files, "is_remote", lambda path: True)
    monkeypatch.setattr(locking, "PULSE", 0.05)
    slept = []

    def others_write(seconds):
        slept.append(seconds)
        take_over(tmp_path)

    monkeypatch.setattr(locking.time, "sleep", others_write)
    with pytest.raises(ValueError, match="in use by process .* on 'far'"):
        with only_run(tmp_path):
            raise AssertionError("two runs in one workdir")
    assert slept == [locking.GRACE] and locking.GRACE > 2


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

"""Several hosts train as one, which reads and writes for all of them."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np
import pytest

from sora_jax import runtime
from sora_jax.checkpoint import Checkpoints
from sora_jax.data import outputs
from sora_jax.data.records import Records
from sora_jax.sampling.opening import load
from sora_jax.weights import adapter_files
from tests.helpers.clips import smooth_clip
from tests.helpers.curves import scalars
from tests.helpers.paths import ROOT

PATIENCE = 900  # seconds: only what hangs takes so long, however busy a machine is


def start(devices, program, *arguments, **environment):
    log = tempfile.TemporaryFile("w+")
    process = subprocess.Popen(
        [sys.executable, program, *arguments],
        cwd=ROOT,
        env={**os.environ, "JAX_NUM_CPU_DEVICES": str(devices), **environment},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    return process, log


def on_two_hosts(*command):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    hosts = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
    return [start(2, *command, **hosts, JAX_PROCESS_ID=str(host)) for host in range(2)]


def ended(*started):
    try:
        for process, _ in started:
            process.wait(timeout=PATIENCE)
    finally:
        for process, _ in started:
            process.kill()
    outputs = []
    for _, log in started:
        with log:
            log.seek(0)
            outputs.append(log.read())
    return outputs


def finish(*started):
    outputs = ended(*started)
    assert not any(process.returncode for process, _ in started), "\n".join(outputs)
    return outputs


@pytest.mark.slow
def test_two_hosts_train_evaluate_and_continue_as_one(tmp_path):
    command = ["train.py", "--config=configs/vae_debug.py", "--config.batch=4"]
    command += ["--config.steps=6", "--config.eval_every=4"]
    # Adam makes as much of rounding as of a gradient, but moves no parameter by more
    # than its rate: so small a one leaves losses and gradients to clips and noise.
    command += ["--config.optim.lr=1e-6"]
    finish(start(4, *command, f"--workdir={tmp_path / 'one'}"))
    command.append(f"--workdir={tmp_path / 'two'}")
    first, second = finish(*on_two_hosts(*command))
    assert "step 6: psnr" in first and "psnr" not in second
    # What a kill leaves of a save.
    (tmp_path / "two/checkpoints/6/manifest.json").unlink()
    # It continues on one host with the same batches.
    (first,) = finish(start(4, *command))
    assert "from step 4" in first and "step 6: psnr" in first
    # Where rounding turns the sign of a pixel's error, its gradient turns too.
    for tag, bound in (("train/loss", 1e-4), ("train/grad_norm", 1e-2)):
        one, two = (scalars(tmp_path / name, tag) for name in ("one", "two"))
        assert sorted(one) == sorted(two) == [1, 2, 3, 4, 5, 6]
        for step, (value,) in one.items():
            assert len(two[step]) == (2 if step > 4 else 1)
            np.testing.assert_allclose(two[step], value, rtol=bound)
    # Other clips, or other noise, would be seen.
    values = sorted(value for (value,) in scalars(tmp_path / "one").values())
    assert np.diff(values).min() > 1e-3 * values[-1]


@pytest.mark.slow
@pytest.mark.parametrize("hosts", [1, 2])
def test_who_is_asked_to_leave_saves_the_last_step(tmp_path, hosts):
    command = ["train.py", "--config=configs/vae_debug.py", "--config.batch=4"]
    command += [f"--config.{name}_every=9999" for name in ("eval", "checkpoint")]
    command += ["--config.steps=9999", f"--workdir={tmp_path}"]
    started = [start(2, *command)] if hosts == 1 else on_two_hosts(*command)
    last, _ = started[-1]
    try:
        # Written just before the first step is compiled.
        deadline = time.monotonic() + PATIENCE
        while not (tmp_path / "config.json").exists():
            assert all(process.poll() is None for process, _ in started)
            assert time.monotonic() < deadline
            time.sleep(0.05)
        last.send_signal(signal.SIGTERM)
    finally:
        outputs = ended(*started)
    assert all("the same command continues" in output for output in outputs), outputs
    assert [process.returncode for process, _ in started] == [1] * hosts
    assert Checkpoints(tmp_path).steps() == [max(scalars(tmp_path))], outputs


@pytest.mark.slow
def test_two_hosts_encode_what_one_does(folder, tmp_path):
    command = ["train.py", "--config=configs/encode_debug.py"]
    command += [f"--config.vae={folder}", f"--config.tokenizer={folder}"]
    command += ["--config.shard=5", "--config.draws=2"]
    command += ["--config.data.frames", "1", "0.5", "5", "0.5"]
    command += ["--config.data.sizes", "32", "32", "1.0"]
    finish(start(1, *command, f"--workdir={tmp_path / 'one'}"))
    command.append(f"--workdir={tmp_path / 'two'}")
    finish(*on_two_hosts(*command))
    # What a kill leaves: a host encodes a shard again, and no other.
    kept = (tmp_path / "two/train/00002.arrayrecord").stat().st_mtime_ns
    for name in ("00001.json", "00001.arrayrecord"):
        (tmp_path / "two/train" / name).unlink()
    finish(*on_two_hosts(*command))
    assert (tmp_path / "two/train/00002.arrayrecord").stat().st_mtime_ns == kept
    for split, count in (("train", 24), ("held_out", 12)):
        one, two = (Records(tmp_path / name / split) for name in ("one", "two"))
        assert len(one) == len(two) == count
        for number in range(count):
            assert one.draws(number) == two.draws(number) == 2
            for draw in range(2):
                mine, other = (each.read(number, draw) for each in (one, two))
                assert mine.captions == other.captions
                np.testing.assert_allclose(mine.latents, other.latents, atol=1e-2)
                np.testing.assert_allclose(mine.extra, other.extra, atol=1e-2)


@pytest.mark.slow
def test_two_hosts_tune_as_one_and_end_together_if_one_fails(folder, tmp_path):
    clips = tmp_path / "clips"
    clips.mkdir()
    for number in range(3):
        outputs.write(clips / f"{number}.mp4", [smooth_clip(5, 32, 32)], 8)
        (clips / f"{number}.txt").write_text(f"waves of kind {number}\n")
    command = ["train.py", "--config=configs/finetune.py", f"--config.data={clips}"]
    command += [f"--config.start_from={folder}", "--config.steps=1"]
    command += ["--config.frames=5", "--config.pixels=1024", "--config.lora.rank=2"]
    command.append(f"--workdir={tmp_path / 'run'}")
    finish(*on_two_hosts(*command))
    config, base = adapter_files.read_description(tmp_path / "run/adapter.safetensors")
    assert config.rank == 2 and base.network == "dit"
    # Files that changed are refused on both hosts, and none waits for the other.
    outputs.write(clips / "more.mp4", [smooth_clip(5, 32, 32)], 8)
    again = on_two_hosts(*command)
    told = ended(*again)
    assert all("holds clips of other files" in output for output in told), told
    assert [process.returncode for process, _ in again] == [1, 1]


@pytest.mark.slow
def test_two_hosts_make_the_video_of_one(exported, tmp_path):
    video = {"steps": 2, "frames": 5, "seed": 1}
    command = ["sample.py", f"--weights={exported}", "--prompt=a red ball"]
    command += [f"--{name}={value}" for name, value in video.items()]
    command += ["--size=32x32", "--mesh.data=2", "--mesh.context=2"]
    first, second = finish(*on_two_hosts(*command, f"--out={tmp_path / 'a.npy'}"))
    assert "seed 1" in first and "seed 1" not in second
    one = load(exported).generate("a red ball", **video, size=(32, 32))
    made = np.load(tmp_path / "a.npy") * 2 - 1  # files hold [0, 1]
    # Of float32, whose sums each number of devices orders in its own way; in float64
    # `test_meshes.py` leaves no room.
    np.testing.assert_allclose(made, one[0].clip(-1, 1), atol=1e-4)


def test_hosts_of_which_not_all_is_told_are_refused(monkeypatch):
    monkeypatch.setenv("JAX_NUM_PROCESSES", "two")
    with pytest.raises(ValueError, match="JAX_COORDINATOR_ADDRESS=None, .*'two'"):
        runtime.join_hosts()


def test_others_that_are_not_found_are_told_of(monkeypatch):
    monkeypatch.setenv("TPU_PROCESS_ADDRESSES", "local")
    monkeypatch.setenv("PMI_SIZE", "4")
    with pytest.raises(ValueError, match="one of 4 processes, .*set JAX_COORDINATOR"):
        runtime.join_hosts()


def test_a_notebook_is_no_pod(monkeypatch):
    def refuse(*_):
        raise AssertionError("looked for other hosts")

    monkeypatch.setattr(jax.distributed, "initialize", refuse)
    monkeypatch.setenv("TPU_PROCESS_ADDRESSES", "local")
    runtime.join_hosts()

"""Training continues exactly, refuses another config, and stops when it breaks."""

import errno
import os
import re
import signal
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sora_jax import cli
from sora_jax.checkpoint import Checkpoints
from sora_jax.config import OptimConfig, VAERun, from_json, to_json
from sora_jax.training import networks, vae
from sora_jax.training.loop import read_metrics
from sora_jax.training.report import Report
from tests.helpers.paths import ROOT

PATIENCE = 900  # seconds: only what hangs takes so long, however busy a machine is
# A training that dies while it saves its fourth step, at whatever the disk has by then.
KILLED = """
import os, runpy, signal, sys
from sora_jax.checkpoint import Checkpoints
save = Checkpoints.save
def save_and_die(self, step, *args, **kwargs):
    save(self, step, *args, **kwargs)
    if step == 4:
        os.kill(os.getpid(), signal.SIGKILL)
Checkpoints.save = save_and_die
sys.argv = ["train.py", *sys.argv[1:]]
runpy.run_path("train.py", run_name="__main__")
"""


def train(workdir, *arguments, program=("train.py",)):
    command = [sys.executable, *program, "--config=configs/vae_debug.py"]
    command += [f"--workdir={workdir}", *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(process):
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    return output


@pytest.mark.slow
def test_a_killed_run_ends_like_one_that_was_not(tmp_path):
    steps = "--config.steps=6"
    finish(train(tmp_path / "whole", steps))
    process = train(tmp_path / "killed", steps, program=("-c", KILLED))
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL, output
    assert not (tmp_path / "killed/checkpoints/6").exists()
    assert "continuing" in finish(train(tmp_path / "killed", steps))
    ends = [final_parameters(tmp_path / name) for name in ("whole", "killed")]
    for a, b in zip(jax.tree.leaves(ends[0]), jax.tree.leaves(ends[1]), strict=True):
        np.testing.assert_array_equal(a, b)
    refused = train(tmp_path / "whole", steps, "--config.optim.lr=0.5")
    output, _ = refused.communicate(timeout=PATIENCE)
    assert refused.returncode != 0
    assert "optim.lr" in output and "0.5" in output and "Traceback" not in output


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EIO])
def test_a_run_goes_on_when_nobody_reads_it_any_more(tmp_path, monkeypatch, number):
    with Report(str(tmp_path), VAERun()) as report:
        report.start(0, {"FLOP": 1.0}, peak=1.0)

        def gone(*_):
            raise OSError(number, os.strerror(number))

        for stream in (sys.stdout, sys.stderr):
            monkeypatch.setattr(stream, "write", gone)
        report.say("still here")
        report.step(1, {"loss": 0.5})
        report.evaluation(1, {"loss": 0.5}, {})
        assert report.has(1)


def final_parameters(workdir):
    config = cli.load_config(str(ROOT / "configs/vae_debug.py"))
    params = networks.abstract(partial(vae.build, config)).params
    with Checkpoints(workdir) as checkpoints:
        restored = checkpoints.restore(6, {"params": params, "ema": params})
    return restored.state


def test_a_wrong_field_gets_a_suggestion(tmp_path):
    process = train(tmp_path, "--config.optim.lrr=1")
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    assert re.search(r"--config\.optim\.lr(?!r)\b", output)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("broken", ["loss", "grad_norm"])
def test_a_loss_or_gradient_that_is_no_number_stops_the_run(tmp_path, broken):
    metrics = {"loss": jnp.float32(1), "grad_norm": jnp.float32(1)}
    metrics[broken] = jnp.float32(np.nan)
    with pytest.raises(FloatingPointError, match="lower --config.optim.lr"):
        read_metrics(Report(str(tmp_path), VAERun()), 3, metrics)


def test_a_config_survives_json():
    config = VAERun(optim=OptimConfig(lr=0.25))
    assert from_json(VAERun, to_json(config)) == config

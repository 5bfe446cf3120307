"""Training continues exactly, refuses another config, and stops when it breaks."""

import dataclasses
import errno
import os
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from tiny import make

from sora_jax.checkpoint import Checkpoints
from sora_jax.config import (
    CriticConfig,
    DiTRun,
    OptimConfig,
    VAEConfig,
    VAERun,
    from_json,
    to_json,
)
from sora_jax.data.packing import Sample, pack_row
from sora_jax.data.patches import coordinates
from sora_jax.training import preemption, state
from sora_jax.training.flops import count_flops, peak_flops
from sora_jax.training.loop import read
from sora_jax.training.networks import model_flops
from sora_jax.training.objectives import reconstruction_losses as losses
from sora_jax.training.report import Report
from sora_jax.training.vae import Trained, by_network, transform, vae_loss

ROOT = Path(__file__).parent.parent


PATIENCE = 900  # seconds: only what hangs takes so long, however busy a machine is
# A training that dies while it saves its fourth step, at whatever the disk has by then.
KILLED = """
import os, runpy, signal, sys
from sora_jax.checkpoint import Checkpoints
save = Checkpoints.save
def save_and_die(self, step, *args):
    save(self, step, *args)
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


@pytest.fixture
def signals():
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals")
def test_ctrl_c_is_heard_and_once_more_stops_at_once():
    with pytest.raises(KeyboardInterrupt), preemption.listening() as asked:
        assert not asked()
        signal.raise_signal(signal.SIGINT)
        assert asked()
        signal.raise_signal(signal.SIGINT)
        pytest.fail("went on")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with preemption.listening() as asked:
        assert not asked()


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_that_came_too_late_for_a_step_still_ends_the_series(number):
    with pytest.raises(KeyboardInterrupt), preemption.listening() as asked:
        for _ in range(2):  # a queue that repeats itself does not stop a save
            signal.raise_signal(number)
    assert signal.getsignal(number) is signal.SIG_DFL
    assert asked()


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


@pytest.mark.usefixtures("signals")
def test_what_others_hear_is_left_to_them():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with preemption.listening() as asked:
        signal.raise_signal(signal.SIGTERM)
        assert not asked()


def final_parameters(workdir):
    sys.path.insert(0, str(ROOT / "configs"))
    try:
        import vae_debug
    finally:
        sys.path.pop(0)
    from flax import nnx

    from sora_jax.training.vae import Trained

    config = dataclasses.replace(vae_debug.get_config(), steps=6)
    module = nnx.eval_shape(lambda: Trained(config, rngs=nnx.Rngs(0)))
    params = nnx.to_pure_dict(nnx.state(module))
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
        read(Report(str(tmp_path), VAERun()), 3, metrics)


def test_the_critic_is_a_switch():
    off = VAERun()
    on = dataclasses.replace(off, critic=CriticConfig(weight=0.1))
    params = {"vae": {"kernel": jnp.ones((2, 2))}, "critic": {"kernel": jnp.ones(2)}}
    assert by_network(on, params)["critic"]["kernel"] == "critic"
    transform(on).init(params)
    transform(off).init({"vae": params["vae"]})


def test_a_decoder_alone_learns_and_the_encoder_stays():
    tiny = VAEConfig(encoder_width=4, decoder_width=4, channels=4, multipliers=(1,) * 3)
    optimizer = OptimConfig(name="muon", weight_decay=0.5, warmup=1)
    config = VAERun(vae=tiny, start_from="some", decoder_only=True, optim=optimizer)
    graphdef, params = nnx.split(make(Trained, config))
    params = nnx.to_pure_dict(params)
    pixels = jax.random.uniform(jax.random.key(0), (1, 1, 16, 16, 3), minval=-1)

    def loss(params, pixels, key, step):
        merged = nnx.merge(graphdef, params)
        return vae_loss(config, merged, pixels, key, step)[0], {}

    optimization = state.Optimization(transform=transform(config), ema_decay=0.9)
    start = state.TrainState(
        step=jnp.int32(0),
        params=params,
        ema=params,
        opt_state=optimization.transform.init(params),
    )
    step = jax.jit(partial(state.update, loss, optimization, 0))
    after = step(start, pixels)[0].params["vae"]
    for part in ("encoder", "latent_mean", "latent_std"):
        jax.tree.map(np.testing.assert_array_equal, after[part], params["vae"][part])
    moved = jax.tree.map(
        lambda a, b: float(jnp.abs(a - b).max()),
        after["decoder"],
        params["vae"]["decoder"],
    )
    assert min(jax.tree.leaves(moved)) > 0


def test_the_critic_teaches_the_vae_only_after_its_start():
    config = VAERun(
        vae=VAEConfig(
            encoder_width=4, decoder_width=4, channels=4, multipliers=(1,) * 3
        ),
        critic=CriticConfig(weight=0.5, width=4, start=10),
    )
    trained = make(Trained, config)
    graphdef, params = nnx.split(trained)
    pixels = jax.random.uniform(jax.random.key(0), (1, 5, 16, 16, 3), minval=-1)

    @jax.jit
    def gradients(step):
        def loss(params):
            key = jax.random.key(1)
            merged = nnx.merge(graphdef, params)
            return vae_loss(config, merged, pixels, key, step)[0]

        grads = nnx.to_pure_dict(jax.grad(loss)(params))
        return grads["vae"]["decoder"]["head"]["conv"]["filters"], grads["critic"]

    (vae_before, critic_before), (vae_after, critic_after) = gradients(9), gradients(10)
    assert float(jnp.abs(vae_after - vae_before).max()) > 1e-5
    jax.tree.map(np.testing.assert_array_equal, critic_before, critic_after)
    assert float(optax.tree.norm(critic_after)) > 1e-3


def test_edges_see_what_l1_does_not():
    sharp = jnp.zeros((1, 1, 8, 8, 1)).at[..., 4:, :].set(1.0)
    shifted = sharp + 0.1
    blurred = jnp.linspace(0, 1, 8)[None, None, None, :, None] + jnp.zeros_like(sharp)
    assert float(losses.edges(sharp, shifted)) < 1e-6
    assert float(losses.edges(sharp, blurred)) > 0.05


def test_flops_are_counted_through_loops():
    def run(x, w):
        return jax.lax.scan(lambda x, _: (x @ w, None), x, length=5)[0]

    x, w = jnp.ones((8, 4)), jnp.ones((4, 4))
    assert count_flops(run, x, w) == 5 * 2 * 8 * 4 * 4


def test_the_gradient_of_a_strided_convolution_costs_twice_the_convolution():
    def run(x, w):
        return jax.lax.conv_general_dilated(
            x, w, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    x, w = jnp.ones((1, 8, 8, 4)), jnp.ones((3, 3, 4, 4))
    forward = count_flops(run, x, w)
    assert forward == 2 * 16 * 4 * 9 * 4

    def loss(x, w):
        return run(x, w).sum()

    assert count_flops(jax.grad(loss, (0, 1)), x, w) == pytest.approx(3 * forward)


def test_what_remat_computes_again_is_no_model_flop(dit_config, text_config):
    config = DiTRun(dit=dit_config, text=text_config)
    sample = Sample(
        x=np.zeros((8, dit_config.patch_features), np.float32),
        extra=np.zeros((8, dit_config.extra_features), np.float32),
        coords=coordinates((2, 2, 2)),
        clean=np.zeros(8, bool),
        captions=np.ones((1, text_config.pad_to), np.int32),
        caption_ids=np.zeros(8, np.int32),
    )
    row = pack_row([sample], 8, 1, text_config.pad_to)
    remat = dataclasses.replace(dit_config, remat="full")
    again = dataclasses.replace(config, dit=remat)
    assert model_flops(config, row) == model_flops(again, row) > 0


def test_the_peak_of_a_device_is_positive():
    assert peak_flops() > 1e9


def test_a_config_survives_json():
    config = VAERun(optim=OptimConfig(lr=0.25))
    assert from_json(VAERun, to_json(config)) == config

"""What a run refuses before it starts, and what it leaves when it is stopped."""

import dataclasses
import json

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from etils import epath
from flax import nnx

from sora_jax import locking
from sora_jax.config import (
    DiTRun,
    EncodeRun,
    PlaygroundConfig,
    VAEConfig,
    VAERun,
    to_json,
)
from sora_jax.data.sources.protocol import ClipSpec, Sources
from sora_jax.training import encode, loop
from sora_jax.training.latents import open_latents
from sora_jax.training.program import plan_program
from sora_jax.training.report import Report
from sora_jax.weights import publish, workdirs
from sora_jax.weights.workdirs import load_trained
from sora_jax.worlds.playground.source import Playground
from tests.helpers.tiny import run_on

TINY = VAEConfig(encoder_width=4, decoder_width=4, channels=4)


def test_a_run_is_tied_to_the_files_that_were_encoded(latents):
    old = workdirs.source_hashes(latents)["set of clips"]
    assert len(old) == 16  # as earlier versions, which wrote no clips.json, saved it
    counts = {"train": 3, "held_out": 3}
    (latents / workdirs.CLIPS).write_text(json.dumps({**counts, "hash": "one"}))
    before = open_latents(run_on(latents)).hashes
    (latents / workdirs.CLIPS).write_text(json.dumps({**counts, "hash": "two"}))
    now = open_latents(run_on(latents)).hashes
    with pytest.raises(ValueError, match="'run' was trained on another set of clips: "):
        loop.refuse_other_sources("run", before, now)


def test_a_refused_first_try_leaves_nothing(tmp_path):
    config = DiTRun(latents=str(tmp_path / "missing"))

    def set_up(mesh):
        open_latents(config)

    with pytest.raises(ValueError, match="holds no encoded clips"):
        loop.train(config, str(tmp_path / "run"), set_up)
    assert not (tmp_path / "run").exists()


class Scale(nnx.Module):
    def __init__(self):
        self.w = nnx.Param(jnp.ones(2), axes=(None,))


def scale_setup(evaluate):
    def set_up(mesh):
        numbers = grain.MapDataset.range(9).map(lambda i: np.full(2, i, np.float32))
        program = plan_program(
            VAERun(),
            mesh,
            build=lambda rngs: {"scale": Scale()},
            objective=lambda networks, batch, key, step: (
                jnp.sum(networks["scale"].w[...] * batch),
                {},
            ),
            optimizer=lambda groups: optax.sgd(0.1),
            dtypes={},
        )
        return loop.TrainSetup(
            program=program,
            data=lambda first: iter(numbers[first:].to_iter_dataset()),
            evaluate=evaluate,
            work={"clips": 1.0, "FLOP": 1.0},
        )

    return set_up


def test_a_save_comes_before_its_evaluation_which_is_made_up_for(tmp_path):
    config = VAERun(steps=2, checkpoint_every=2, eval_every=2)
    evaluated = []

    def fail(state):
        raise RuntimeError("killed here")

    def evaluate(state):
        evaluated.append(int(state.step))
        return {"loss": 0.0}, {}

    with pytest.raises(RuntimeError, match="killed here"):
        loop.train(config, str(tmp_path), scale_setup(fail))
    for _ in range(2):
        state = loop.train(config, str(tmp_path), scale_setup(evaluate))
        assert int(state.step) == 2
    assert evaluated == [2]


def test_clips_that_the_vae_cannot_divide_are_refused():
    data = PlaygroundConfig(frames=((9, 1.0),), sizes=(((60, 60), 1.0),))
    with pytest.raises(ValueError, match="data.sizes must be multiples of 8"):
        encode.check_clips([Playground(data).spec(0)], TINY)
    long = ClipSpec(frames=10, height=64, width=64, fps=8.0)
    with pytest.raises(ValueError, match=r"data.frames must be 1 \+ 4k each, got .10"):
        encode.check_clips([long], TINY)


def test_other_clips_than_those_of_the_run_are_not_published(latents):
    before = open_latents(run_on(latents)).hashes
    publish.refuse_other_sources(run_on(latents), before)
    with pytest.raises(ValueError, match="another VAE and tokenizer and set of clips"):
        publish.refuse_other_sources(run_on(latents), {})
    (latents / "vae.safetensors").write_bytes(b"another")
    with pytest.raises(ValueError, match="trained on another VAE than"):
        publish.refuse_other_sources(run_on(latents), before)


def test_a_folder_of_another_run_is_named_with_its_flag(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(to_json(VAERun())))
    with pytest.raises(ValueError, match="--run '.*': .* of a VAERun, where a DiTRun"):
        load_trained(tmp_path, "--run")


def test_a_damaged_line_is_an_evaluation_to_be_made_again(tmp_path):
    with Report(str(tmp_path), VAERun(steps=4)) as report:
        report.start(0, {"FLOP": 1.0}, 1.0)
        for step in (1, 2):
            report.evaluation(step, {"loss": 0.0}, {})
    lines = tmp_path / "evaluations.jsonl"
    lines.write_text(lines.read_text()[:-8])
    with Report(str(tmp_path), VAERun(steps=4)) as report:
        report.start(3, {"FLOP": 1.0}, 1.0)
        assert report.has(1) and not report.has(2)
    with Report(str(tmp_path), VAERun(steps=4)) as report:
        report.start(0, {"FLOP": 1.0}, 1.0)  # killed before its first checkpoint
        assert not report.has(1)


def test_other_hosts_than_the_first_say_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    with Report(str(tmp_path / "run"), VAERun(steps=1)) as report:
        report.start(0, {"FLOP": 1.0}, 1.0)
        report.step(1, {"loss": 0.0})
        report.evaluation(1, {"loss": 0.0}, {})
    assert not (tmp_path / "run").exists()
    assert capfd.readouterr() == ("", "")


def test_who_loses_the_workdir_stops_at_once_and_saves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(locking, "PULSE", 0.05)
    config = VAERun(steps=10**6, checkpoint_every=10**6, eval_every=10**6)
    scale = scale_setup(lambda state: ({}, {}))

    def batches(step):
        yield np.ones(2, np.float32)
        other = locking.Lock(epath.Path(tmp_path))
        other._write()
        while True:
            yield np.ones(2, np.float32)

    def set_up(mesh):
        return dataclasses.replace(scale(mesh), data=batches)

    with pytest.raises(OSError, match="was taken over by .*: nothing more is saved"):
        loop.train(config, str(tmp_path), set_up)
    assert not list((tmp_path / "checkpoints").glob("*"))


def test_clips_of_a_version_with_other_shards_are_not_encoded_twice(tmp_path):
    config = PlaygroundConfig(length=3)
    source = Playground(config)
    sources = Sources(train=source, held_out=source)
    saved = to_json(EncodeRun(data=config))
    del saved["shard"]  # up to version 0.1 all shards had 1024 clips
    (tmp_path / "config.json").write_text(json.dumps(saved))
    with pytest.raises(ValueError, match="shard.*1024"):
        encode.encode(EncodeRun(data=config), str(tmp_path), sources)

"""Text states that were cached are those that the encoder computes in every step."""

import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sora_jax import hashes
from sora_jax.commands.train import train
from sora_jax.config import DiTRun, EncodeRun, PackingConfig, PlaygroundConfig
from sora_jax.data import records, text_states
from sora_jax.data.records import Records
from sora_jax.data.text_states import TextStates
from sora_jax.sharding import MeshPlan, make_mesh
from sora_jax.training import dit
from sora_jax.training.encode_texts import captions_in
from sora_jax.weights import folders


@pytest.fixture(scope="module")
def encoded(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("encoded")
    run = EncodeRun(
        vae=str(folder),
        tokenizer=str(folder),
        text_from=str(folder),
        held_out_clips=2,
        batch=2,
        data=PlaygroundConfig(
            length=4,
            frames=((5, 1.0),),
            sizes=(((32, 32), 1.0),),
            kinds=(("one", 1.0),),
        ),
    )
    train(run, str(path))
    return path


def test_states_are_the_encoders_without_their_padding(encoded, folder):
    states, texts = TextStates(encoded), captions_in(encoded)
    assert len(states) == len(texts) > 4 and texts[0] == ""
    tokenizer = folders.load_tokenizer(folder)
    encoder = folders.load_network(folder, "text_encoder")
    length = folders.describe(folder).text.pad_to
    for text in texts[:3]:
        ids = jnp.asarray(tokenizer.encode(text, length)[None])
        expected = np.asarray(encoder(ids)[0])
        np.testing.assert_allclose(states(text, length), expected, atol=2e-3)
        np.testing.assert_array_equal(states(text, 3), states(text, length)[:3])
    with pytest.raises(ValueError, match="no text states of 'another'"):
        states("another", length)


def run_of(encoded, folder, **fields):
    model = folders.describe(folder)
    return DiTRun(
        latents=str(encoded),
        start_from=str(folder),
        text_from=str(folder),
        dit=model.dit,
        text=model.text,
        packing=PackingConfig(tokens=16, rows=2, samples=2),
        steps=2,
        **fields,
    )


@pytest.mark.slow
def test_a_step_is_the_same_without_the_encoder(encoded, folder):
    losses = []
    for cached in (False, True):
        run = run_of(encoded, folder, text_states=cached)
        setup = dit.set_up(run, MeshPlan(make_mesh({"data": 1}), run.rules))
        networks = set(setup.program.abstract.params)
        assert ("text_encoder" in networks) != cached
        state, batch = setup.program.state.initialize(), next(setup.data(0))
        loss, _ = jax.jit(setup.program.loss)(
            state.params, setup.frozen, batch, jax.random.key(0), state.step
        )
        losses.append(float(loss))
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)


@pytest.mark.slow
def test_a_run_on_cached_states_samples_with_the_encoder(encoded, folder, tmp_path):
    run = run_of(encoded, folder, text_states=True, eval_every=2, prompts=("a ball",))
    train(dataclasses.replace(run, prompt_size=(32, 32)), str(tmp_path))
    assert len(Records(encoded / "train")) == 4


def test_captions_are_found_in_the_indices_and_without_them_in_the_records(
    encoded, tmp_path
):
    stored = Records(encoded / "train")
    found = [stored.read(number) for number in range(len(stored))]
    records.write_shard(tmp_path / "new", 0, found)
    expected = {
        text
        for record in found
        for texts in (record.captions, *(texts for _, texts in record.stretches))
        for text in texts
    }
    shutil.copytree(tmp_path / "new", tmp_path / "old")
    (tmp_path / "new" / "00000.arrayrecord").write_bytes(b"")  # it is not read
    assert records.captions_in(tmp_path / "new") == expected
    index = json.loads((tmp_path / "old" / "00000.json").read_text())
    kept = {name: index[name] for name in ("format", "records", "draws")}
    kept["hash"] = hashes.of_json(kept)  # as an earlier version wrote it
    (tmp_path / "old" / "00000.json").write_text(json.dumps(kept))
    assert records.captions_in(tmp_path / "old") == expected
    assert len(Records(tmp_path / "old")) == len(found)


def test_states_are_made_again_for_another_encoder(tmp_path):
    states = {"a": np.zeros((2, 3), np.float16)}
    text_states.write_shard(tmp_path, 0, "one", states)
    assert text_states.has_shard(tmp_path, 0, "one", ["a"])
    assert not text_states.has_shard(tmp_path, 0, "another", ["a"])
    assert not text_states.has_shard(tmp_path, 0, "one", ["b"])
    assert not text_states.has_shard(tmp_path, 1, "one", ["a"])


def test_states_of_another_encoder_are_refused(encoded, folder, tmp_path):
    for path in (encoded / text_states.FOLDER).iterdir():
        target = tmp_path / text_states.FOLDER / path.name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    index = tmp_path / text_states.FOLDER / "00000.json"
    content = json.loads(index.read_text())
    index.write_text(json.dumps({**content, "encoder": "another"}))
    with pytest.raises(ValueError, match="00000.json.* is damaged"):
        TextStates(tmp_path)
    states = {"a": np.zeros((2, 3), np.float16)}
    text_states.write_shard(tmp_path, 0, "another", states)
    with pytest.raises(ValueError, match="different encoders"):
        TextStates(encoded, tmp_path)
    with pytest.raises(ValueError, match="holds no text states"):
        TextStates(tmp_path / "nothing")
    with pytest.raises(ValueError, match="text_states needs text_from"):
        DiTRun(text_states=True)

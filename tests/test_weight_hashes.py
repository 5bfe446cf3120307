"""Weights, encoded clips and what describes them are those that were written."""

import json
import os
import shutil

import numpy as np
import pytest

from sora_jax import hashes
from sora_jax.data.records import Records
from sora_jax.families import OURS
from sora_jax.sampling.model import Model
from sora_jax.weights import bundle, folders, workdirs
from sora_jax.weights.bundle import ASSETS, TOKENIZER
from sora_jax.weights.descriptions import read_description

FILES = tuple(map(bundle.file_of, OURS.networks))


def flip(path, bit):
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


@pytest.fixture
def ours(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "ours")


@pytest.mark.parametrize("name", [*FILES, TOKENIZER, "config.json"])
def test_a_bit_of_any_file_of_weights_is_noticed(ours, name):
    rng = np.random.default_rng(len(name))
    bits = 8 * (ours / name).stat().st_size
    for bit in (bits - 5, *rng.integers(bits, size=3)):
        flip(ours / name, int(bit))
        with pytest.raises(ValueError, match=name):
            folders.load_weights(ours)
        flip(ours / name, int(bit))
    if name == "vae.safetensors":
        flip(ours / name, bits - 5)
        with pytest.raises(ValueError, match="not as written .*; copy the folder"):
            workdirs.load_vae(ours)


def test_a_number_of_a_config_that_says_another_model_is_noticed(ours):
    path = ours / "config.json"
    told = json.loads(path.read_text())
    told["sampling"]["steps"] += 1
    path.write_text(json.dumps(told))
    with pytest.raises(ValueError, match="not as written.*delete its line"):
        folders.describe(ours)
    del told["hashes"]["config.json"]  # as it says
    path.write_text(json.dumps(told))
    assert folders.describe(ours).sampling.steps == told["sampling"]["steps"]


def test_a_file_of_another_folder_is_noticed(ours):
    # As a file that is swapped between versions of the same model would be.
    content = (ours / "dit.safetensors").read_bytes()
    (ours / "dit.safetensors").write_bytes(content[:-2] + b"\0\0")
    with pytest.raises(ValueError, match="dit.safetensors in .* of another folder"):
        folders.load_weights(ours)


def test_folders_of_earlier_versions_have_no_hashes(ours, weights):
    path = ours / "config.json"
    told = json.loads(path.read_text())
    assert set(told.pop("hashes")) == {*FILES, TOKENIZER, "config.json"}
    path.write_text(json.dumps(told))
    assert folders.load_weights(ours).config == weights.config


@pytest.mark.parametrize("value", [5, ["a"], {"dit.safetensors": 5}, None])
def test_hashes_of_another_kind_are_refused(ours, value):
    path = ours / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"hashes": value}))
    with pytest.raises(ValueError, match="config.json: hashes: Expected"):
        folders.load_weights(ours)


def test_the_default_weights_have_hashes():
    _, kept = read_description(ASSETS / "config.json")
    assert kept == {n: hashes.of_file(ASSETS / n) for n in (*FILES, TOKENIZER)}


@pytest.mark.parametrize(
    "content",
    [b"[]", b"5", b"{}", b"[" * 10**6, b'{"format": ["sora_jax"]}', b"\xff"],
)
def test_a_description_of_another_kind_is_refused(ours, content):
    (ours / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match="config.json"):
        folders.load_weights(ours)


@pytest.mark.parametrize("value", ["6", True, None, [], {}, 10**30, 1.5, -1])
@pytest.mark.parametrize("field", ["width", "depth", "patch", "theta", "contexts"])
def test_a_field_of_another_kind_is_named(ours, field, value):
    told = json.loads((ours / "config.json").read_text())
    del told["hashes"]
    told["dit"][field] = value
    (ours / "config.json").write_text(json.dumps(told))
    if field == "theta" and value in (10**30, 1.5):
        folders.describe(ours)  # a number, like any other
        return
    with pytest.raises(ValueError, match=rf"(?i)dit(config)?\.{field}"):
        folders.describe(ours)


def test_pipes_and_folders_in_the_place_of_files_are_refused(ours):
    for name in ("dit.safetensors", TOKENIZER, "config.json"):
        (ours / name).rename(ours / "kept")
        os.mkfifo(ours / name)
        with pytest.raises(ValueError, match="is a pipe"):
            folders.load_weights(ours)
        (ours / name).unlink()
        (ours / name).mkdir()
        with pytest.raises(ValueError, match="is a folder"):
            folders.load_weights(ours)
        (ours / name).rmdir()
        (ours / "kept").rename(ours / name)


def test_a_bit_of_encoded_clips_is_noticed(latents):
    path = latents / "train/00000.arrayrecord"
    content = path.read_bytes()
    told = [i for i, byte in enumerate(content) if byte]  # the rest is padding
    before = [Records(latents / "train")[i].latents for i in range(3)]
    for place in np.random.default_rng(0).choice(told, 40):
        flip(path, 8 * int(place))
        try:
            records = Records(latents / "train")
            now = [records[i].latents for i in range(3)]
        except ValueError as error:
            assert "are damaged (" in str(error) and "encode command" in str(error)
        else:
            np.testing.assert_array_equal(now, before)
        path.write_bytes(content)


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"5",
        b'{"format": "safetensors", "records": 5}',
        b'{"format": "safetensors", "records": [5]}',
        b'{"format": "safetensors", "records": [{"shape": [1], "stretches": 1}]}',
        b'{"format": "safetensors", "records": []}',
        b'{"format": 5, "records": []}',
        b"[" * 10**6,
    ],
)
def test_an_index_of_another_kind_is_refused(latents, content):
    (latents / "train/00000.json").write_bytes(content)
    with pytest.raises(ValueError, match="start the encode command again"):
        Records(latents / "train")


def test_an_index_that_was_changed_is_refused(latents):
    path = latents / "train/00000.json"
    told = json.loads(path.read_text())
    told["records"][0]["stretches"] = 2
    path.write_text(json.dumps(told))
    with pytest.raises(ValueError, match="its hash differs from the recorded"):
        Records(latents / "train")
    del told["hash"]  # as earlier versions wrote it
    path.write_text(json.dumps(told))
    with pytest.raises(ValueError, match="record 0 differs from the index"):
        Records(latents / "train")[0]


def test_strangers_among_the_clips_are_ignored(latents):
    for name in (".DS_Store", "notes.json", ".00001.json.a.tmp"):
        (latents / "train" / name).write_bytes(b"?")
    os.mkfifo(latents / "train" / "pipe.json")
    assert len(Records(latents / "train")) == 3
    (latents / "train/00000.arrayrecord").unlink()
    with pytest.raises(ValueError, match="00000.arrayrecord' are damaged .it is miss"):
        Records(latents / "train")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_noise_that_is_no_number_is_refused_by_name(model, value):
    assert isinstance(model, Model)
    noise = np.zeros((1, 2, 4, 4, 4), np.float64)
    noise[0, -1, 0, 0, 0] = value
    with pytest.raises(ValueError, match="noise must be finite"):
        model.generate("a red ball", init_noise=noise)

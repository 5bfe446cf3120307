"""Runs and the encoded clips that they learn from."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
from flax import nnx

from sora_jax.config import (
    EncodeRun,
    PlaygroundConfig,
    TextConfig,
    VAEConfig,
    resolve_dtypes,
    to_json,
)
from sora_jax.models.vae import VAE
from sora_jax.training import loop
from sora_jax.training.latents import open_latents
from sora_jax.weights import bundle, publish
from sora_jax.weights.modules import parameters
from sora_jax.workdir import keep_config
from tests.helpers.tiny import make, run_on

TINY = VAEConfig(encoder_width=4, decoder_width=4, channels=4)


def test_latents_that_fit_are_opened(latents):
    opened = open_latents(run_on(latents))
    assert len(opened.train) == len(opened.held_out) == 3


def test_latents_of_another_kind_are_refused_with_every_field(latents):
    wrong = run_on(latents, channels=16, extra_channels=8)
    wrong = dataclasses.replace(wrong, text=TextConfig(vocabulary=100))
    fields = ("dit.channels", "dit.extra_channels", "text.vocab")
    with pytest.raises(ValueError, match="(?s)" + ".*".join(fields)):
        open_latents(wrong)


def test_a_patch_that_cuts_latents_badly_is_refused(latents):
    with pytest.raises(ValueError, match=r"dit.patch\[1:\] must divide.*\(3, 2\)"):
        open_latents(run_on(latents, patch=(1, 3, 2)))


def test_a_run_is_tied_to_its_latents(latents):
    before = open_latents(run_on(latents)).hashes
    loop.refuse_other_sources("run", before, before)
    (latents / "vae.safetensors").write_bytes(b"another")
    now = open_latents(run_on(latents)).hashes
    with pytest.raises(ValueError, match="'run' was trained on another VAE: "):
        loop.refuse_other_sources("run", before, now)


def test_latents_half_encoded_are_refused(latents):
    encoded = EncodeRun(data=PlaygroundConfig(length=9), held_out_clips=3)
    keep_config(latents, to_json(encoded))
    with pytest.raises(ValueError, match="3 of 9 training clips.*continues"):
        open_latents(run_on(latents))


@pytest.fixture
def more(latents, tmp_path):
    """Another folder like the first, without the held-out clips that none reads."""
    folder = tmp_path / "more"
    shutil.copytree(latents, folder)
    shutil.rmtree(folder / "held_out")
    return folder


def test_clips_of_several_folders_are_learned_from_together(latents, more):
    alone = open_latents(run_on(latents))
    joint = dataclasses.replace(run_on(latents), more_latents=(str(more),))
    both = open_latents(joint)
    count = len(alone.train)
    assert len(both.train) == len(both.train.index) == 2 * count
    assert len(both.held_out) == len(alone.held_out)
    for i in (0, count - 1):
        np.testing.assert_array_equal(
            both.train[count + i].latents, alone.train[i].latents
        )
    encoded = json.loads((more / "config.json").read_text()) | {"seed": 1}
    (more / "config.json").write_text(json.dumps(encoded))
    now = open_latents(joint).hashes
    with pytest.raises(ValueError, match=r"another set of clips of more_latents\[0\]"):
        loop.refuse_other_sources("run", both.hashes, now)
    with pytest.raises(ValueError, match=r"another set of clips of more_latents\[0\]"):
        publish.refuse_other_sources(joint, both.hashes)


def test_more_clips_of_another_kind_are_refused(latents, more):
    joint = dataclasses.replace(run_on(latents), more_latents=(str(more), "missing"))
    with pytest.raises(
        ValueError, match="more_latents: 'missing' holds no encoded clips"
    ):
        open_latents(joint)
    joint = dataclasses.replace(joint, more_latents=(str(more),))
    encoded = json.loads((more / "config.json").read_text())
    encoded["data"]["fps"] = 5.0
    (more / "config.json").write_text(json.dumps(encoded))
    (more / "vae.safetensors").write_bytes(b"another")
    told = "(?s)that the VAE of .*clips of 8 frames per second.* got 5 in .*more"
    with pytest.raises(ValueError, match=told):
        open_latents(joint)
    encoded["data"]["length"] = 9
    (more / "config.json").write_text(json.dumps(encoded))
    with pytest.raises(ValueError, match="more_latents: .*holds 3 of 9 training clips"):
        open_latents(joint)
    for folders in (("",), (str(latents),), (str(more), str(more))):
        with pytest.raises(ValueError, match="more_latents must be other folders than"):
            dataclasses.replace(joint, more_latents=folders)


def test_clips_in_another_format_are_refused(latents):
    shard = latents / "train" / "00000.json"
    shard.write_text(json.dumps(json.loads(shard.read_text()) | {"format": "numpy"}))
    with pytest.raises(ValueError, match="format 'numpy', not 'safetensors': encode"):
        open_latents(run_on(latents))


def test_only_a_vae_with_the_same_latents_is_published_with_a_dit(tmp_path):
    own = make(VAE, resolve_dtypes(TINY, "cpu"))
    graphdef, params = nnx.split(own)
    for part, is_same in (("decoder", True), ("encoder", False)):
        other = jax.tree.map(lambda x: x, nnx.to_pure_dict(params))
        other[part] = jax.tree.map(lambda x: x + 1, other[part])
        other["latent_mean"] = other["latent_mean"] + 1  # of other clips
        bundle.save_vae(tmp_path / part, nnx.merge(graphdef, other), TINY)
        if is_same:
            found = publish.same_latents(str(tmp_path / part), own)
            got = parameters(found)
            assert (got["latent_mean"] == own.latent_mean[...]).all()
            jax.tree.map(
                np.testing.assert_array_equal, got["decoder"], other["decoder"]
            )
            continue
        with pytest.raises(ValueError, match="--vae .* other latents"):
            publish.same_latents(str(tmp_path / part), own)

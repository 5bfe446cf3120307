"""Runs that start from others, or from weights, and what reads for them."""

import dataclasses

import jax
import numpy as np
import pytest
from etils import epath

from sora_jax import sharding
from sora_jax.config import (
    DiTConfig,
    DiTRun,
    PackingConfig,
    PlaygroundConfig,
    SeenConfig,
    TextConfig,
    VAEConfig,
    VAERun,
    resolve_dtypes,
    to_json,
)
from sora_jax.models.vae import VAE
from sora_jax.training import dit, loop, vae
from sora_jax.training.latents import open_latents
from sora_jax.training.warm_start import check_start, load_start
from sora_jax.weights import bundle, publish, workdirs
from sora_jax.weights.adapters import copy_model
from sora_jax.weights.modules import parameters
from sora_jax.weights.workdirs import load_trained, source_hashes
from sora_jax.workdir import write_json
from tests.helpers.tiny import make

TINY = VAEConfig(encoder_width=4, decoder_width=4, channels=4)


def tiny_run(latents, **fields):
    dit = DiTConfig(
        channels=8,
        extra_channels=12,
        width=24,
        depth=1,
        heads=2,
        mlp=32,
        contexts=(("text", 24),),
    )
    text = TextConfig(width=24, depth=1, heads=1, mlp=32, vocabulary=300)
    packing = PackingConfig(tokens=16, rows=2, samples=2)
    fields = {"dit": dit, "text": text, "packing": packing, "steps": 2, **fields}
    return DiTRun(latents=str(latents), **fields)


@pytest.mark.slow
def test_a_run_starts_from_the_averaged_networks_of_another(latents, tmp_path):
    first = tiny_run(latents)
    ended = loop.train(
        first, str(tmp_path / "first"), lambda mesh: dit.set_up(first, mesh)
    )
    second = tiny_run(latents, start_from=str(tmp_path / "first"), steps=9)
    mesh = sharding.make_mesh({"data": -1})
    mesh_plan = sharding.MeshPlan(mesh, second.rules)
    begun = dit.set_up(second, mesh_plan).program.state.initialize()
    jax.tree.map(np.testing.assert_array_equal, begun.params, ended.ema)
    jax.tree.map(np.testing.assert_array_equal, begun.ema, ended.ema)
    assert int(begun.step) == 0

    wider = dataclasses.replace(second, dit=dataclasses.replace(second.dit, mlp=48))
    with pytest.raises(ValueError, match="dit.mlp must be 32 to start from"):
        check_start(wider)
    opened = open_latents(first)
    (latents / "tokenizer.model").write_bytes(b"another")
    opened = dataclasses.replace(opened, hashes=source_hashes(latents))
    with pytest.raises(ValueError, match="trained on another tokenizer than"):
        load_start(second, opened)


@pytest.mark.slow
def test_another_model_reads_for_a_dit_and_stays_as_it_is(latents, folder, tmp_path):
    theirs = bundle.load(folder)
    text = theirs.config.text
    plain = tiny_run(latents)
    model = dataclasses.replace(plain.dit, contexts=(("text", text.width),))
    vae_config = dataclasses.replace(theirs.config.vae, channels=8)
    bundle.save_vae(latents, make(VAE, vae_config), vae_config)
    run = tiny_run(latents, dit=model, text=text, text_from=str(folder))
    ended = loop.train(run, str(tmp_path / "run"), lambda mesh: dit.set_up(run, mesh))
    assert set(ended.params) == set(ended.ema) == {"dit"}
    trained = load_trained(tmp_path / "run", "--run")
    before, after = (
        parameters(part)
        for part in (theirs.networks["text_encoder"], trained.networks["text_encoder"])
    )
    jax.tree.map(np.testing.assert_array_equal, before, after)
    out = tmp_path / "out"
    publish.publish(publish.PublishOptions(run=str(tmp_path / "run"), out=str(out)))
    assert bundle.load(out).tokenizer == theirs.tokenizer
    seen = bundle.describe(out).seen
    assert seen == SeenConfig(sizes=((32, 32),), words=("a", "ball"))

    narrow = dataclasses.replace(text, mlp=text.mlp + 16)
    with pytest.raises(ValueError, match="text.mlp must be .* to read with"):
        open_latents(dataclasses.replace(run, text=narrow))


def test_a_run_starts_from_a_folder_of_weights(latents, folder):
    theirs = bundle.load(folder)
    config = theirs.config
    run = tiny_run(
        latents, dit=config.dit, text=config.text, start_from=str(folder), steps=9
    )
    check_start(run)
    bundle.save_vae(latents, theirs.networks["vae"], theirs.config.vae)
    with pytest.raises(ValueError, match="encode the clips with its tokenizer"):
        load_start(run, open_latents(tiny_run(latents)))
    theirs.tokenizer.save(latents / "tokenizer.model")
    model = dataclasses.replace(tiny_run(latents).dit, contexts=config.dit.contexts)
    opened = open_latents(tiny_run(latents, text=config.text, dit=model))
    start = load_start(run, opened)
    other = make(VAE, config.vae, seed=1)
    bundle.save_vae(latents, other, theirs.config.vae)
    with pytest.raises(ValueError, match="encode the clips with its VAE"):
        load_start(run, opened)
    for name in ("dit", "text_encoder"):
        expected = parameters(theirs.networks[name])
        jax.tree.map(np.testing.assert_array_equal, start[name], expected)
    shallow = dataclasses.replace(config.dit, depth=1)
    with pytest.raises(ValueError, match=r"dit.depth must be .* to start from"):
        check_start(dataclasses.replace(run, dit=shallow))


def test_a_vae_that_saw_only_images_is_inflated(tmp_path, monkeypatch):
    """Also where a run of images went on from another one, but no other VAE is."""
    images = PlaygroundConfig(frames=((1, 1.0),), sizes=(((64, 64), 1.0),))
    runs = {
        "images": VAERun(vae=TINY, data=images),
        "more": VAERun(vae=TINY, data=images, start_from=str(tmp_path / "images")),
        "clips": VAERun(vae=TINY),
        "later": VAERun(vae=TINY, data=images, start_from=str(tmp_path / "clips")),
    }
    for name, run in runs.items():
        (tmp_path / name / "checkpoints").mkdir(parents=True)
        write_json(epath.Path(tmp_path / name / "config.json"), to_json(run))
    trained = make(VAE, resolve_dtypes(TINY, "cpu"))
    monkeypatch.setattr(workdirs, "load_vae", lambda *_: copy_model(trained))
    for name in runs:
        start = vae.load_start(VAERun(vae=TINY, start_from=str(tmp_path / name)))
        same = jax.tree.map(np.array_equal, parameters(start), parameters(trained))
        assert all(jax.tree.leaves(same)) == (name in ("clips", "later")), name


def test_a_vae_of_another_size_is_no_start(tmp_path):
    bundle.save_vae(tmp_path, make(VAE, resolve_dtypes(TINY, "cpu")), TINY)
    start = VAERun(vae=TINY, start_from=str(tmp_path))
    assert vae.load_start(start).config == resolve_dtypes(TINY, "cpu")
    # The past of a clip has no parameters.
    zeros = dataclasses.replace(TINY, temporal_padding="zeros")
    vae.load_start(dataclasses.replace(start, vae=zeros))
    other = dataclasses.replace(TINY, channels=8, encoder_width=8)
    fields = "(?s)vae.channels must be 4 .*got 8.*vae.encoder_width must be 4"
    with pytest.raises(ValueError, match=fields):
        vae.load_start(dataclasses.replace(start, vae=other))

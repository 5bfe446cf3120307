"""Wan's models, exported and read again in both layouts."""

import dataclasses
import math
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from etils import epath
from flax import nnx

from sora_jax.families import WAN
from sora_jax.families.family import TensorFiles
from sora_jax.families.wan import models
from sora_jax.models.dit import DiT
from sora_jax.models.picture_encoder import PictureEncoder
from sora_jax.models.text_encoder import TextEncoder
from sora_jax.models.vae import VAE
from sora_jax.sampling.model import Model
from sora_jax.sampling.opening import load
from sora_jax.weights import bundle, folders, shards
from sora_jax.weights.export import export, shards_of
from sora_jax.weights.model_weights import LazyNetworks
from sora_jax.weights.modules import abstract_of, flatten, parameters


def same_parameters(a, b):
    a, b = (flatten(parameters(module)) for module in (a, b))
    assert a.keys() == b.keys()
    for path in a:
        np.testing.assert_array_equal(a[path], b[path], err_msg=path)


def test_what_is_exported_comes_back(tiny, exported):
    loaded = folders.load_weights(exported)
    assert loaded.config == tiny.config
    text = "a red ball 猫"
    ids = loaded.tokenizer.encode(text, 16)
    np.testing.assert_array_equal(ids, tiny.tokenizer.encode(text, 16))
    for name in tiny.networks.loaders:
        same_parameters(loaded.networks[name], tiny.networks[name])


def test_the_original_layout_is_the_same_model(tiny, original):
    loaded = folders.load_weights(original)
    assert loaded.config.dit == tiny.config.dit
    assert loaded.config.vae == tiny.config.vae
    assert loaded.config.sampling == models.WAN22_A14B.sampling
    assert loaded.config.boundary == 0.875
    for name in ("dit", "dit_low", "text_encoder"):
        same_parameters(loaded.networks[name], tiny.networks[name])
    for part in ("encoder", "decoder"):
        same_parameters(
            getattr(loaded.networks["vae"], part), getattr(tiny.networks["vae"], part)
        )
    mean, _ = models.LATENTS_21
    np.testing.assert_allclose(loaded.networks["vae"].latent_mean[...], mean)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_other_types_are_kept(tiny, copy, dtype):
    path = copy / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    kind = jnp.dtype(dtype)
    safetensors.numpy.save_file({n: v.astype(kind) for n, v in tensors.items()}, path)
    kinds = {
        x.dtype
        for x in jax.tree.leaves(nnx.state(folders.load_weights(copy).networks["dit"]))
    }
    assert kinds == {kind}


def test_models_of_half_the_precision_make_videos(tiny, copy):
    for path in copy.rglob("*.safetensors"):
        tensors = safetensors.numpy.load_file(path)
        half = {name: value.astype(jnp.bfloat16) for name, value in tensors.items()}
        safetensors.numpy.save_file(half, path)
    made, exact = (
        Model(weights).generate("a red ball", steps=2)
        for weights in (folders.load_weights(copy), tiny)
    )
    assert made.shape == (1, 5, 32, 32, 3) and np.isfinite(made).all()
    assert 0 < np.abs(made - exact).mean() < 0.1


def test_guidance_alone_is_that_of_both_transformers(tiny):
    sampling = tiny.config.sampling
    assert sampling.asked(steps=2).guidance_low == sampling.guidance_low
    assert sampling.asked(guidance=1.0).guidance_low is None
    assert not sampling.asked(guidance=1.0).guides(two=True)
    assert sampling.asked(guidance=1.0, guidance_low=3.0).guides(two=True)


@pytest.mark.parametrize("model", models.MODELS.values(), ids=lambda model: model.name)
def test_published_sizes(model):
    """The parameters that the publishers count (shared facts of the report)."""
    millions = {
        "wan21_1b3": 1_418_996_800,
        "wan21_1b3_causal": 1_418_996_800,
        "wan21_14b": 14_288_491_584,
        "wan22_5b": 4_999_787_712,
        "wan22_a14b": 14_288_491_584,
        "wan21_i2v_14b": 16_394_878_784,
        "wan21_flf2v_14b": 16_394_878_784 + 657_920,
        "wan22_i2v_a14b": 14_288_901_184,
        "wan21_vace_1b3": 2_153_972_032,
        "wan21_vace_14b": 17_337_592_896,
    }

    def count(module, config):
        _, shapes = abstract_of(lambda r: module(config, rngs=r))
        return sum(math.prod(x.shape) for x in jax.tree.leaves(shapes))

    assert count(DiT, model.dit) == millions[model.name]
    statistics = 2 * model.vae.channels
    vae = {16: 126_892_531, 48: 704_688_668}[model.vae.channels]
    assert count(VAE, model.vae) == vae + statistics
    assert count(TextEncoder, model.text) == 5_680_910_336
    if model.picture is not None:
        assert count(PictureEncoder, model.picture) == 630_766_080


def test_networks_leave_where_they_do_not_fit_together():
    loads = []
    names = {name: lambda name=name: loads.append(name) or name for name in "ab"}
    for keep, expected in ((True, "ab"), (False, "aba")):
        loads.clear()
        parts = LazyNetworks(names, keep=keep)
        assert [parts[name] for name in "aba"] == list("aba")
        assert "".join(loads) == expected


def test_the_default_model_cannot_be_exported_and_says_why(tmp_path):
    with pytest.raises(
        ValueError, match="(?s)dit.position_embedding.*dit.theta.*vae.temporal_padding"
    ):
        export(str(tmp_path / "out"), folders.load_weights(bundle.ASSETS))
    assert not (tmp_path / "out").exists()


def test_an_export_never_overwrites_and_is_whole_at_its_end(tiny, exported, tmp_path):
    with pytest.raises(ValueError, match="is not empty"):
        export(str(exported), tiny)

    def stop():
        raise KeyboardInterrupt

    broken = dataclasses.replace(
        tiny, networks=LazyNetworks({**tiny.networks.loaders, "vae": stop})
    )
    with pytest.raises(KeyboardInterrupt):
        export(str(tmp_path / "out"), broken)
    with pytest.raises(
        ValueError, match="has neither model_index.json nor config.json"
    ):
        folders.describe(tmp_path / "out")


def test_large_networks_are_split(tiny, tmp_path, monkeypatch):
    module = tiny.networks["dit"]
    values = flatten(parameters(module))
    table = WAN.networks["dit"].table(module.config, "diffusers")
    groups = shards_of(table, values, most=20_000)
    assert len(groups) > 2 and sum(map(len, groups)) == len(table)
    monkeypatch.setattr("sora_jax.weights.export.SHARD_BYTES", 20_000)
    export(str(tmp_path / "out"), tiny)
    written = TensorFiles(folder=epath.Path(tmp_path / "out" / "transformer"))
    assert len(shards.find_files(written)) == len(groups)
    same_parameters(folders.load_weights(tmp_path / "out").networks["dit"], module)


SHARDED = """
import sys, jax, numpy as np
from sora_jax.weights import folders
from sora_jax.sampling.opening import load
model = load(sys.argv[1])
kernel = model.weights.networks["dit"].blocks.up.kernel[...]
assert len(kernel.sharding.device_set) == 4 and not kernel.is_fully_replicated
np.save(sys.argv[2], model.generate("a red ball", seed=1, frames=1, steps=1))
"""


@pytest.mark.slow
def test_sharded_equals_single(exported, tmp_path):
    out = tmp_path / "made.npy"
    command = [sys.executable, "-c", SHARDED, str(exported), str(out)]
    environment = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    subprocess.run(command, check=True, env={**dict(os.environ), **environment})
    single = load(exported).generate("a red ball", seed=1, frames=1, steps=1)
    np.testing.assert_allclose(np.load(out), single, atol=1e-4)

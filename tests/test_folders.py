"""Wan's models, exported and read again in both layouts, whole or damaged."""

import dataclasses
import json
import math
import os
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx
from tiny import make

from sora_jax import memory
from sora_jax.config import DiTConfig, ModelConfig, SamplingConfig, VAEConfig, wan
from sora_jax.models.dit import DiT
from sora_jax.models.text_encoder import TextEncoder
from sora_jax.models.tokenizer import train_tokenizer
from sora_jax.models.vae import VAE
from sora_jax.sampling import flags, job
from sora_jax.sampling.model import Model, load
from sora_jax.weights import convert, folders, published, shards
from sora_jax.weights.export import export, shards_of
from sora_jax.weights.foreign import MODULES, flat
from sora_jax.weights.parts import Parts, in_memory


@pytest.fixture(scope="module")
def tiny(text_config):
    """A Wan model of two experts; the text encoder is of the usual kind."""
    text = dataclasses.replace(text_config, pad_to=16)
    config = ModelConfig(
        name="tiny",
        vae=VAEConfig(
            patch=1,
            channels=16,
            encoder_width=4,
            decoder_width=4,
            multipliers=(1, 2, 4, 4),
            blocks=2,
            stages=((1, 2), (2, 2), (2, 2)),
            shortcuts=False,
            history="zeros",
            dtype="float32",
        ),
        dit=DiTConfig(
            channels=16,
            extra_channels=0,
            width=24,
            heads=2,
            depth=2,
            mlp=32,
            time_features=16,
            contexts=(("text", text.width),),
        ),
        text=text,
        sampling=SamplingConfig(
            steps=3, frames=5, size=(32, 32), guidance_low=2.0, shift=12.0
        ),
        fps=None,
        known="nothing",
        boundary=0.875,
    )
    words = ["a red ball moves right", "a blue square", "on a green floor"] * 40
    return in_memory(
        config,
        train_tokenizer(words, vocab_size=320),
        vae=make(VAE, config.vae),
        dit=make(DiT, config.dit),
        dit_low=make(DiT, config.dit, seed=1),
        text_encoder=make(TextEncoder, config.text),
    )


@pytest.fixture(scope="module")
def exported(tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "tiny"
    export(str(path), tiny)
    return path


@pytest.fixture
def copy(exported, tmp_path):
    return shutil.copytree(exported, tmp_path / "copy")


@pytest.fixture(scope="module")
def original(tiny, exported, tmp_path_factory):
    """The same model as its publishers would lay it out."""
    path = tmp_path_factory.mktemp("original")

    def write(name, file):
        module = tiny.parts[name]
        table = MODULES[type(module.config)][1](module.config, "original")
        tensors = dict(convert.export(table, flat(published.parameters(module))))
        file.parent.mkdir(parents=True, exist_ok=True)
        safetensors.numpy.save_file(tensors, file)

    dit = tiny.config.dit
    told = {
        "_class_name": "WanModel",
        "model_type": "t2v",
        "dim": dit.width,
        "ffn_dim": dit.mlp,
        "freq_dim": dit.time_features,
        "in_dim": 16,
        "num_heads": dit.heads,
        "num_layers": dit.depth,
        "out_dim": 16,
    }
    for name, folder in (("dit", "high_noise_model"), ("dit_low", "low_noise_model")):
        write(name, path / folder / "diffusion_pytorch_model.safetensors")
        (path / folder / "config.json").write_text(json.dumps(told))
    write("vae", path / "Wan2.1_VAE.safetensors")
    write("text_encoder", path / "models_t5_umt5-xxl-enc-bf16.safetensors")
    tokenizer = path / "google" / "umt5-xxl" / "spiece.model"
    tokenizer.parent.mkdir(parents=True)
    shutil.copy(exported / "tokenizer" / "spiece.model", tokenizer)
    return path


def same_parameters(a, b):
    a, b = (flat(published.parameters(module)) for module in (a, b))
    assert a.keys() == b.keys()
    for path in a:
        np.testing.assert_array_equal(a[path], b[path], err_msg=path)


def test_what_is_exported_comes_back(tiny, exported):
    loaded = folders.load(exported)
    assert loaded.config == tiny.config
    text = "a red ball 猫"
    ids = loaded.tokenizer.encode(text, 16)
    np.testing.assert_array_equal(ids, tiny.tokenizer.encode(text, 16))
    for name in tiny.parts.loaders:
        same_parameters(loaded.parts[name], tiny.parts[name])


def test_the_original_layout_is_the_same_model(tiny, original):
    loaded = folders.load(original)
    assert loaded.config.dit == tiny.config.dit
    assert loaded.config.vae == tiny.config.vae
    assert loaded.config.sampling == wan.WAN22_A14B.sampling
    assert loaded.config.boundary == 0.875
    for name in ("dit", "dit_low", "text_encoder"):
        same_parameters(loaded.parts[name], tiny.parts[name])
    for part in ("encoder", "decoder"):
        same_parameters(
            getattr(loaded.parts["vae"], part), getattr(tiny.parts["vae"], part)
        )
    mean, _ = wan.LATENTS_21
    np.testing.assert_allclose(loaded.parts["vae"].latent_mean[...], mean)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_other_types_are_kept(tiny, copy, dtype):
    path = copy / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    kind = jnp.dtype(dtype)
    safetensors.numpy.save_file({n: v.astype(kind) for n, v in tensors.items()}, path)
    kinds = {
        x.dtype for x in jax.tree.leaves(nnx.state(folders.load(copy).parts["dit"]))
    }
    assert kinds == {kind}


def test_models_of_half_the_precision_make_videos(tiny, copy):
    for path in copy.rglob("*.safetensors"):
        tensors = safetensors.numpy.load_file(path)
        half = {name: value.astype(jnp.bfloat16) for name, value in tensors.items()}
        safetensors.numpy.save_file(half, path)
    made, exact = (
        Model(weights).generate("a red ball", steps=2)
        for weights in (folders.load(copy), tiny)
    )
    assert made.shape == (1, 5, 32, 32, 3) and np.isfinite(made).all()
    assert 0 < np.abs(made - exact).mean() < 0.1


def test_guidance_alone_is_that_of_both_transformers(tiny):
    sampling = tiny.config.sampling
    assert sampling.asked(steps=2).guidance_low == sampling.guidance_low
    assert sampling.asked(guidance=1.0).guidance_low is None
    assert not sampling.asked(guidance=1.0).guides(two=True)
    assert sampling.asked(guidance=1.0, guidance_low=3.0).guides(two=True)


@pytest.mark.parametrize("model", wan.MODELS.values(), ids=lambda model: model.name)
def test_published_sizes(model):
    """The parameters that the publishers count (shared facts of the report)."""
    millions = {
        "wan21_1b3": 1_418_996_800,
        "wan21_14b": 14_288_491_584,
        "wan22_5b": 4_999_787_712,
        "wan22_a14b": 14_288_491_584,
    }

    def count(module, config):
        _, shapes = published.abstract_of(lambda r: module(config, rngs=r))
        return sum(math.prod(x.shape) for x in jax.tree.leaves(shapes))

    assert count(DiT, model.dit) == millions[model.name]
    statistics = 2 * model.vae.channels
    vae = {16: 126_892_531, 48: 704_688_668}[model.vae.channels]
    assert count(VAE, model.vae) == vae + statistics
    assert count(TextEncoder, model.text) == 5_680_910_336


def damage_shard(folder):
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    name = "diffusion_pytorch_model.safetensors.index.json"
    (folder / "transformer" / name).write_text(json.dumps(index))


def damage_cut(folder):
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def damage_pickle(folder):
    path = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    path.rename(path.with_suffix(".bin"))


def damage_names(folder):
    path = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    tensors["proj_out.other"] = tensors.pop("proj_out.bias")
    tensors["proj_out.weight"] = tensors["proj_out.weight"][:, :3].copy()
    safetensors.numpy.save_file(tensors, path)


def damage_dtype(folder):
    path = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    tensors["proj_out.bias"] = tensors["proj_out.bias"].astype(np.int8)
    safetensors.numpy.save_file(tensors, path)


def damage_offsets(folder):
    path = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["proj_out.bias"]["shape"][0] += 1
    text = json.dumps(header).encode()
    start = len(text).to_bytes(8, "little")
    path.write_bytes(start + text + content[8 + size :])


def damage_twice(folder):
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    shutil.copy(path, path.with_name("diffusion_pytorch_model.fp16.safetensors"))


def damage_field(folder):
    path = folder / "vae" / "config.json"
    config = json.loads(path.read_text())
    del config["base_dim"]
    path.write_text(json.dumps(config))


def damage_index(folder):
    name = "diffusion_pytorch_model.safetensors.index.json"
    (folder / "transformer" / name).write_text("[]")


def damage_statistics(folder):
    path = folder / "vae" / "config.json"
    config = json.loads(path.read_text()) | {"latents_std": [1.0]}
    path.write_text(json.dumps(config))


def damage_second(folder):
    path = folder / "transformer_2" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"ffn_dim": 8}))


def damage_tokenizer(folder):
    (folder / "tokenizer" / "spiece.model").unlink()


def damage_kind(folder):
    path = folder / "transformer" / "config.json"
    config = json.loads(path.read_text()) | {"image_dim": 1280, "qk_norm": None}
    path.write_text(json.dumps(config))


def damage_pipeline(folder):
    (folder / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')


def damage_depth(folder):
    for name in ("transformer", "transformer_2"):
        path = folder / name / "config.json"
        config = json.loads(path.read_text()) | {"num_layers": 3}
        path.write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_shard, "lacks one.safetensors, two.safetensors of its 2 shards"),
        (damage_cut, "damaged or cut short"),
        (damage_pickle, "pickles and can run any code"),
        (
            damage_names,
            "(?s)missing.*proj_out.bias.*unexpected.*other.*of another shape",
        ),
        (damage_dtype, "of type I8"),
        (damage_offsets, "proj_out.bias has .* bytes for"),
        (damage_twice, "is in .* and in .*: leave the one file"),
        (damage_field, "lacks a field .*base_dim"),
        (damage_index, "an index in it lacks a field"),
        (damage_statistics, "latents_std must be 16 numbers, got 1"),
        (damage_second, "transformer_2 is of another kind or size"),
        (damage_tokenizer, "tokenizer .* is missing"),
        (damage_kind, "(?s)qk_norm must be .*image_dim must be None, got 1280"),
        (damage_pipeline, "is of a FluxPipeline"),
        (damage_depth, r"(?s)missing.*blocks.2.*looks like .*depth 2"),
    ],
)
def test_damaged_folders_are_refused(copy, damage, message):
    damage(copy)
    with pytest.raises(ValueError, match=message):
        job.prepare(flags.Arguments(prompt="a ball", weights=str(copy)))


def test_another_model_than_insisted_is_refused(exported):
    asked = flags.Arguments(prompt="a ball", weights=str(exported), model="wan21_14b")
    with pytest.raises(ValueError, match="width 5120 and depth 40; .* holds 'tiny'"):
        job.prepare(asked)
    with pytest.raises(ValueError, match="model must be one of"):
        job.prepare(dataclasses.replace(asked, model="wan"))


def test_too_little_memory_is_said_before_loading(exported, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 1000)
    with pytest.raises(ValueError, match="takes .* and there are 0.00 GiB"):
        folders.load(exported)


def test_networks_leave_where_they_do_not_fit_together():
    loads = []
    names = {name: lambda name=name: loads.append(name) or name for name in "ab"}
    for keep, expected in ((True, "ab"), (False, "aba")):
        loads.clear()
        parts = Parts(names, keep=keep)
        assert [parts[name] for name in "aba"] == list("aba")
        assert "".join(loads) == expected


def test_the_default_model_cannot_be_exported_and_says_why(tmp_path):
    with pytest.raises(ValueError, match="(?s)dit.places.*dit.theta.*vae.history"):
        export(str(tmp_path / "out"), folders.load(published.ASSETS))
    assert not (tmp_path / "out").exists()


def test_an_export_never_overwrites_and_is_whole_at_its_end(tiny, exported, tmp_path):
    with pytest.raises(ValueError, match="is not empty"):
        export(str(exported), tiny)

    def stop():
        raise KeyboardInterrupt

    broken = dataclasses.replace(tiny, parts=Parts({**tiny.parts.loaders, "vae": stop}))
    with pytest.raises(KeyboardInterrupt):
        export(str(tmp_path / "out"), broken)
    with pytest.raises(
        ValueError, match="has neither model_index.json nor config.json"
    ):
        folders.describe(tmp_path / "out")


def test_large_networks_are_split(tiny, tmp_path, monkeypatch):
    module = tiny.parts["dit"]
    values = flat(published.parameters(module))
    table = MODULES[DiTConfig][1](module.config)
    groups = shards_of(table, values, most=20_000)
    assert len(groups) > 2 and sum(map(len, groups)) == len(table)
    monkeypatch.setattr("sora_jax.weights.export.SHARD_BYTES", 20_000)
    export(str(tmp_path / "out"), tiny)
    assert len(shards.find(tmp_path / "out" / "transformer")) == len(groups)
    same_parameters(folders.load(tmp_path / "out").parts["dit"], module)


SHARDED = """
import sys, jax, numpy as np
from sora_jax.weights import folders
from sora_jax.sampling.model import load
model = load(sys.argv[1])
kernel = model.weights.parts["dit"].blocks.up.kernel[...]
assert len(kernel.sharding.device_set) == 4 and not kernel.is_fully_replicated
np.save(sys.argv[2], model.generate("a red ball", seed=1, frames=1, steps=1))
"""


def test_sharded_equals_single(exported, tmp_path):
    out = tmp_path / "made.npy"
    command = [sys.executable, "-c", SHARDED, str(exported), str(out)]
    environment = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    subprocess.run(command, check=True, env={**dict(os.environ), **environment})
    single = load(exported).generate("a red ball", seed=1, frames=1, steps=1)
    np.testing.assert_allclose(np.load(out), single, atol=1e-4)

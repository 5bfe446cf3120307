"""Damaged folders, and those that contradict themselves, are refused before loading."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import safetensors.numpy

from sora_jax import memory
from sora_jax.sampling import flags, job
from sora_jax.weights import folders


def damage_shard(folder):
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    name = "diffusion_pytorch_model.safetensors.index.json"
    (folder / "transformer" / name).write_text(json.dumps(index))


def damage_numbered(folder):
    path = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    path.rename(path.with_name("model-00001-of-00002.safetensors"))


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
        (damage_numbered, "holds 1 of 2 shards and no index"),
        (damage_cut, "damaged or cut short"),
        (damage_pickle, "pickles and can run any code"),
        (
            damage_names,
            "(?s)missing.*proj_out.bias.*unexpected.*other.*of another shape",
        ),
        (damage_dtype, "of type 'I8'"),
        (damage_offsets, "proj_out.bias has .* bytes for"),
        (damage_twice, "is in .* and in .*: keep only one of the files"),
        (damage_field, "vae: base_dim is missing"),
        (damage_index, "index.json is not valid .*`object`, got `array`"),
        (damage_statistics, "latents_std must be 16 numbers, got 1"),
        (damage_second, "transformer_2 is of another kind or size"),
        (damage_tokenizer, "tokenizer .* does not exist"),
        (
            damage_kind,
            "(?s)qk_norm must be .*image_dim and added_kv_proj_dim must both be null.*"
            "got 1280 and None",
        ),
        (damage_pipeline, "is of a 'FluxPipeline'"),
        (damage_depth, r"(?s)missing.*blocks.2.*look like .*depth 2"),
    ],
)
def test_damaged_folders_are_refused(copy, damage, message):
    damage(copy)
    with pytest.raises(ValueError, match=message):
        job.prepare(flags.SampleFlags(prompt="a ball", weights=str(copy)))


def test_experts_of_two_sizes_are_refused(original, tmp_path):
    folder = shutil.copytree(original, tmp_path / "copy")
    path = folder / "low_noise_model" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"ffn_dim": 8}))
    with pytest.raises(ValueError, match="low_noise_model is of another kind or size"):
        folders.load_weights(folder)
    path.unlink()
    with pytest.raises(ValueError, match="low_noise_model.*config.json"):
        folders.load_weights(folder)


def test_another_model_than_insisted_is_refused(exported):
    asked = flags.SampleFlags(prompt="a ball", weights=str(exported), model="wan21_14b")
    with pytest.raises(ValueError, match="width 5120 and depth 40; .* holds 'tiny'"):
        job.prepare(asked)
    with pytest.raises(ValueError, match="model must be one of"):
        job.prepare(dataclasses.replace(asked, model="wan"))


def test_too_little_memory_is_said_before_loading(exported, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda mesh_plan: 1000)
    with pytest.raises(ValueError, match="takes .* and there are 0.00 GiB"):
        folders.load_weights(exported)

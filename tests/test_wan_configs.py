"""Configs of any kind are refused by name, before any work."""

import os
import shutil

import numpy as np
import pytest
import safetensors.numpy

from sora_jax.families.wan.text_table import ALIASES
from sora_jax.sampling import flags, job
from sora_jax.weights import folders
from tests.helpers.refusals import change

((TIED, SHARED),) = ALIASES.items()
DIT = "transformer/diffusion_pytorch_model.safetensors"


@pytest.mark.parametrize(
    "value", ["6", True, 1.5, None, [], {}, [1], -1, 0, 2**31, 10**30, 1e300]
)
@pytest.mark.parametrize(
    "file, field",
    [
        ("transformer", "num_layers"),
        ("transformer", "attention_head_dim"),
        ("transformer", "in_channels"),
        ("vae", "base_dim"),
        ("vae", "num_res_blocks"),
        ("text_encoder", "d_model"),
    ],
)
def test_sizes_are_whole_numbers_within_bounds(refuses, copy, file, field, value):
    change(copy / file / "config.json", **{field: value})
    refuses(copy, file, field)


@pytest.mark.parametrize(
    "file, fields, told",
    [
        ("transformer", {"patch_size": [1, 2**20, 2**20]}, "patch_size"),
        ("transformer", {"patch_size": [1, 64, 64], "in_channels": 2**20}, "patch"),
        ("transformer", {"patch_size": 2}, "patch_size"),
        ("transformer", {"num_layers": 1000, "ffn_dim": 2**20}, "1000 lay"),
        ("transformer", {"attention_head_dim": 2**19}, "another shape"),
        ("transformer", {"attention_head_dim": 2**20}, "attention_head_dim x"),
        ("transformer", {"eps": "1e-6"}, "eps must be"),
        ("transformer", {"qk_norm": "x" * 10**5}, "qk_norm must be"),
        ("transformer", {"qk_norm": "x" * 10**6}, "larger than"),
        ("vae", {"dim_mult": [1] * 10**5}, "dim_mult"),
        ("vae", {"dim_mult": [1, 2, 4, 64], "base_dim": 2**20}, "base_dim x dim_mult"),
        ("vae", {"temperal_downsample": [1, 2, 3]}, "temperal_downsample"),
        ("vae", {"num_res_blocks": 8}, "missing"),
        ("vae", {"latents_std": [0.0] * 16}, "latents_std"),
        ("vae", {"latents_mean": [float("nan")] * 16}, "latents_mean"),
        ("vae", {"latents_mean": "x"}, "latents_mean"),
        ("text_encoder", {"num_layers": 1000, "d_ff": 2**20}, "1000 layers"),
        ("text_encoder", {"d_kv": 2**20}, "num_heads x d_kv"),
    ],
)
def test_what_is_too_large_together_is_refused(refuses, copy, file, fields, told):
    change(copy / file / "config.json", **fields)
    if file == "transformer":
        change(copy / "transformer_2/config.json", **fields)
    refuses(copy, told)


@pytest.mark.parametrize(
    "name",
    [
        "model_index.json",
        "sora_jax.json",
        "transformer/config.json",
        "vae/config.json",
        "text_encoder/config.json",
        "tokenizer/tokenizer_config.json",
        "scheduler/scheduler_config.json",
        DIT + ".index.json",
    ],
)
def test_json_of_another_kind_is_named(refuses, copy, name):
    for content in (
        "5",
        "[1]",
        "null",
        '"a"',
        "[" * 10**6,
        '{"a": ' * 99 + "1" + "}" * 99,
    ):
        (copy / name).write_text(content)
        refuses(copy, name.rpartition("/")[2])
    (copy / name).unlink()
    os.mkfifo(copy / name)
    refuses(copy, "is a pipe")
    (copy / name).unlink()
    (copy / name).mkdir()
    refuses(copy, "is a folder")


@pytest.mark.parametrize(
    "file, fields, told",
    [
        ("model_index.json", {"boundary_ratio": "0.9"}, "boundary_ratio"),
        ("model_index.json", {"boundary_ratio": 2}, "boundary_ratio"),
        ("model_index.json", {"expand_timesteps": 1}, "expand_timesteps"),
        ("model_index.json", {"_class_name": ["a"]}, "is of a ['a']"),
        ("sora_jax.json", {"fps": "8"}, "fps"),
        ("sora_jax.json", {"sampling": {"steps": "12"}}, "SamplingConfig lacks"),
        ("tokenizer/tokenizer_config.json", {"model_max_length": "a"}, "model_max"),
        ("tokenizer/tokenizer_config.json", {"model_max_length": -1}, "model_max"),
    ],
)
def test_fields_beside_the_networks_are_checked(refuses, copy, file, fields, told):
    change(copy / file, **fields)
    refuses(copy, told)


def test_what_transformers_calls_very_long_is_taken(copy):
    change(copy / "tokenizer/tokenizer_config.json", model_max_length=int(1e30))
    assert folders.describe(copy).text.pad_to == 512


@pytest.mark.parametrize("name", ["config.json", "model_index.json"])
def test_configs_of_many_empty_lists_are_refused_at_once(refuses, copy, name):
    (copy / name).write_bytes(b'{"a": [' + b"[]," * 10**7 + b"[]]}")
    if name == "config.json":
        (copy / "model_index.json").unlink()
    refuses(copy, name, "larger than 1000000 bytes")


def test_an_embedding_may_have_either_name_or_both(refuses, tiny, copy):
    path = copy / "text_encoder/model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    shared = tensors[SHARED]
    for names in ((TIED,), (SHARED, TIED)):
        tensors.pop(SHARED, None)
        tensors |= {name: shared for name in names}
        safetensors.numpy.save_file(tensors, path)
        found = folders.load_weights(copy).networks["text_encoder"].embedding[...]
        np.testing.assert_array_equal(found, shared)
    tensors[TIED] = shared[:-1].copy()
    safetensors.numpy.save_file(tensors, path)
    refuses(copy, SHARED, TIED, "must be the same")


@pytest.mark.parametrize(
    "fields",
    [
        {"num_layers": 10**9},
        {"dim": "24"},
        {"num_heads": 0},
        {"in_dim": 2**40},
        {"text_len": 2**40},
        {"model_type": 5},
    ],
)
def test_sizes_in_the_original_layout_are_bounded_too(
    refuses, original, tmp_path, fields
):
    folder = shutil.copytree(original, tmp_path / "copy")
    change(folder / "high_noise_model/config.json", **fields)
    refuses(folder, "transformer", *fields)


@pytest.mark.parametrize(
    "file, name, shape",
    [
        ("Wan2.1_VAE", "encoder.conv1.weight", (4,)),
        ("Wan2.1_VAE", "conv2.weight", (0, 1, 1, 1, 1)),
        ("models_t5_umt5-xxl-enc-bf16", "token_embedding.weight", (4,)),
        ("models_t5_umt5-xxl-enc-bf16", "blocks.0.attn.q.weight", (2, 0)),
    ],
)
def test_sizes_that_are_read_off_shapes_are_checked(
    refuses, original, tmp_path, file, name, shape
):
    folder = shutil.copytree(original, tmp_path / "copy")
    path = folder / f"{file}.safetensors"
    tensors = safetensors.numpy.load_file(path)
    tensors[name] = np.zeros(shape, np.float32)
    safetensors.numpy.save_file(tensors, path)
    refuses(folder, name, "axes")


def test_a_damaged_folder_is_refused_before_a_video_is_made(copy):
    change(copy / "transformer/config.json", num_layers=10**9)
    with pytest.raises(ValueError, match="num_layers: Expected `int` <= 1000"):
        job.prepare(flags.SampleFlags(prompt="a ball", weights=str(copy)))

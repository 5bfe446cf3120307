"""Configs, indices and headers of any kind are refused by name, before any work."""

import json
import os
import select
import shutil
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy

from sora_jax.families.wan.text_table import ALIASES
from sora_jax.sampling import flags, job
from sora_jax.weights import folders

((TIED, SHARED),) = ALIASES.items()
DIT = "transformer/diffusion_pytorch_model.safetensors"


def change(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


MOST = 2**28  # bytes that a refusal may take, beside what the libraries take
HANG = 300  # seconds: only what does not end takes so long, however busy a machine is
LOADER = """
import json, resource, sys
import jax
from sora_jax.weights import folders
jax.devices()
with open("/proc/self/status") as status:
    held = next(int(line.split()[1]) for line in status if line.startswith("VmData"))
most = held * 1024 + int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_DATA, (most, most))
try:
    bytearray(2 * int(sys.argv[1]))
except MemoryError:
    print("bound", flush=True)
for line in sys.stdin:
    try:
        told = ["", repr(folders.load(line.removesuffix(chr(10))))]
    except BaseException as error:
        told = [type(error).__name__, str(error)]
    print(json.dumps(told), flush=True)
"""


@pytest.fixture(scope="module")
def refuses():
    """Whether a folder is refused with these words, in little memory."""
    process = subprocess.Popen(
        [sys.executable, "-c", LOADER, str(MOST)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    asked, answers = process.stdin, process.stdout
    assert asked is not None and answers is not None

    def answer():
        assert select.select([answers], [], [], HANG)[0], "it does not end"
        return answers.readline()

    def ask(folder, *told):
        print(folder, file=asked, flush=True)
        kind, says = json.loads(answer())
        assert kind == "ValueError", (kind, says)
        assert all(word in says for word in told), says
        assert len(says) < 10_000

    try:
        assert answer() == "bound\n"
        yield ask
    finally:
        process.kill()
        process.communicate()


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


def with_header(path, header):
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    if callable(header):
        header = json.dumps(header(json.loads(content[8 : 8 + size]))).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + size :])


def edited(**fields):
    return lambda header: (
        header
        | {
            "proj_out.bias": header["proj_out.bias"] | fields,
        }
    )


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"5",
        b"[" * 10**6,
        b'{"a": 5}',
        b'{"a": {"dtype": "F32"}}',
        b"{" + b'"1f":1,' * (4 * 10**6) + b'"a":1}',
        b"{" + b'"1f":1,' * (9 * 10**6) + b'"a":1}',
        b"\xff" * 9,
        lambda header: header | {"proj_out.bias": []},
        lambda header: (
            header | {f"a{i}": header["proj_out.bias"] for i in range(10**5)}
        ),
        edited(dtype=5),
        edited(shape=5),
        edited(shape=[-1]),
        edited(shape=[2**70]),
        edited(shape=[1.5]),
        edited(shape=["4"]),
        edited(shape=[1] * 10**5),
        edited(shape=[2**40, 2**40]),
        edited(data_offsets=[0]),
        edited(data_offsets=[-8, 8]),
        edited(data_offsets=[8, 0]),
        edited(data_offsets=[0, 2**62]),
        edited(data_offsets=[0, 2**80]),
        edited(data_offsets=["0", "4"]),
        edited(data_offsets=[4, 260]),
    ],
)
def test_headers_of_another_kind_are_refused(refuses, copy, header):
    with_header(copy / DIT, header)
    refuses(copy, "diffusion_pytorch_model.safetensors", "damaged or cut short")


def test_a_name_that_stands_twice_is_refused(refuses, copy):
    path = copy / DIT
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + size].strip()
    item = json.dumps(json.loads(header)["proj_out.bias"]).encode()
    with_header(path, header[:-1] + b', "proj_out.bias": ' + item + b"}")
    refuses(copy, "a name stands twice")


def test_an_index_names_only_files_beside_it(refuses, copy):
    for name in ("../vae/diffusion_pytorch_model.safetensors", "/etc/passwd", ""):
        index = {"weight_map": {"a": name}}
        (copy / f"{DIT}.index.json").write_text(json.dumps(index))
        refuses(copy, "in the place of safetensors files beside it")


@pytest.mark.parametrize("name", ["config.json", "model_index.json"])
def test_configs_of_many_empty_lists_are_refused_at_once(refuses, copy, name):
    (copy / name).write_bytes(b'{"a": [' + b"[]," * 10**7 + b"[]]}")
    if name == "config.json":
        (copy / "model_index.json").unlink()
    refuses(copy, name, "larger than 1000000 bytes")


def test_pipes_and_folders_in_the_place_of_weights_are_refused(refuses, copy):
    path = copy / DIT
    path.unlink()
    os.mkfifo(path)
    refuses(copy, "is a pipe")
    path.unlink()
    path.mkdir()
    refuses(copy, "is a folder")


def test_an_embedding_may_have_either_name_or_both(refuses, tiny, copy):
    path = copy / "text_encoder/model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    shared = tensors[SHARED]
    for names in ((TIED,), (SHARED, TIED)):
        tensors.pop(SHARED, None)
        tensors |= {name: shared for name in names}
        safetensors.numpy.save_file(tensors, path)
        found = folders.load(copy).parts["text_encoder"].embedding[...]
        np.testing.assert_array_equal(found, shared)
    tensors[TIED] = shared[:-1].copy()
    safetensors.numpy.save_file(tensors, path)
    refuses(copy, SHARED, TIED, "must be the same")


@pytest.mark.parametrize("value, kind", [(np.nan, "float32"), (-np.inf, "float16")])
def test_tensors_that_hold_no_numbers_are_named(copy, value, kind):
    path = copy / DIT
    tensors = safetensors.numpy.load_file(path)
    tensors = {name: tensor.astype(kind) for name, tensor in tensors.items()}
    for name in ("proj_out.weight", "proj_out.bias"):
        tensors[name].flat[-1] = value
    safetensors.numpy.save_file(tensors, path)
    weights = folders.load(copy)
    with pytest.raises(ValueError, match="(?s)NaN.*proj_out.bias\n.*proj_out.weight"):
        weights.parts["dit"]


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
        job.prepare(flags.Arguments(prompt="a ball", weights=str(copy)))

"""Headers, indices and tensors of any kind are refused by name, before any work."""

import json
import os

import numpy as np
import pytest
import safetensors.numpy

from sora_jax.weights import folders

DIT = "transformer/diffusion_pytorch_model.safetensors"


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
        refuses(copy, "instead of safetensors files in its folder")


def test_pipes_and_folders_in_the_place_of_weights_are_refused(refuses, copy):
    path = copy / DIT
    path.unlink()
    os.mkfifo(path)
    refuses(copy, "is a pipe")
    path.unlink()
    path.mkdir()
    refuses(copy, "is a folder")


@pytest.mark.parametrize("value, kind", [(np.nan, "float32"), (-np.inf, "float16")])
def test_tensors_that_hold_no_numbers_are_named(copy, value, kind):
    path = copy / DIT
    tensors = safetensors.numpy.load_file(path)
    tensors = {name: tensor.astype(kind) for name, tensor in tensors.items()}
    for name in ("proj_out.weight", "proj_out.bias"):
        tensors[name].flat[-1] = value
    safetensors.numpy.save_file(tensors, path)
    weights = folders.load_weights(copy)
    with pytest.raises(ValueError, match="(?s)NaN.*proj_out.bias\n.*proj_out.weight"):
        weights.networks["dit"]

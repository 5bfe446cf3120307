"""LoRA files that a model cannot take are refused by name, before they are read."""

import json
import math

import numpy as np
import pytest
import safetensors.numpy

from sora_jax.weights.adapter_paths import Lora
from sora_jax.weights.applied_adapters import with_adapters
from tests.helpers import lora_forms, tiny_wan

Q = "blocks.{}.self_attn.q"


@pytest.fixture(scope="module")
def wan(tiny):
    return tiny_wan.one_expert(tiny)


@pytest.fixture(scope="module")
def originals(wan):
    return lora_forms.modules(wan.config.dit)


@pytest.fixture(scope="module")
def pairs(originals):
    """Of the right ranks, which is all that is read here."""
    width, mlp = 24, 32
    shapes = dict.fromkeys(originals, (width, width))
    for name in originals:
        if "net.0" in name or "net.2" in name:
            shapes[name] = (mlp, width) if "net.0" in name else (width, mlp)
    return lora_forms.drawn(shapes)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"to_q.dora_scale": (24,)}, r"to_q.dora_scale \(DoRA\).*merge"),
        ({"to_q.lokr_w1": (2, 2)}, r"to_q.lokr_w1 \(LoKr\)"),
        ({"to_q.lora_A.weight": (2, 24)}, "without the other factor:.*to_q.lora_A"),
        ({"to_q.lora_B.bias": (24,)}, "without the other factor:.*to_q.lora_B.bias"),
        (
            {"to_q.lora_A.weight": (2, 24), "to_q.lora_B.weight": (24, 3)},
            r"go together:.*to_q.lora_A.weight: \[2, 24\].*to_q.lora_B.weight: \[24, 3",
        ),
        (
            {"to_q.lora_A.weight": (25, 24), "to_q.lora_B.weight": (24, 25)},
            "the rank is one number from 1 to 24",
        ),
        (
            {"to_q.lora_A.weight": (2, 9), "to_q.lora_B.weight": (8, 2)},
            r"another shape:.*\[2, 9\] in.*\[rank, 24\].*\[8, 2\] in.*\[24, rank\]",
        ),
        (
            {"to_q.lora_A.weight": (2, 24), "to_q.lora_down.weight": (2, 24)},
            "the same part twice:.*to_q.lora_down.weight and .*to_q.lora_A.weight",
        ),
        ({"to_q.diff_b": (25,)}, r"to_q.diff_b: \[25\] in the file, \[24\] wanted"),
        ({"to_q.alpha": (3,)}, r"to_q.alpha: \[3\] in the file, one number"),
        ({"to_q.alpha": ()}, "it has no factors"),
        ({"to_q.weight": (24, 24)}, "not of this model:.*to_q.weight"),
        ({"norm_q.lora_A.weight": (1, 1)}, "not of this model:.*norm_q.lora_A"),
        ({}, "it has no factors"),
    ],
)
def test_what_does_not_fit_is_named(wan, changes, told, tmp_path):
    path = tmp_path / "a.safetensors"
    stored = {
        f"transformer.blocks.0.attn1.{name}": np.ones(shape, np.float32)
        for name, shape in changes.items()
    }
    safetensors.numpy.save_file(stored, path)
    with pytest.raises(ValueError, match=f"(?s)does not fit.*{told}"):
        with_adapters(wan, [Lora(str(path))])


def test_several_problems_and_files_are_told_together(wan, tmp_path):
    names = (("one", "blocks.0.attn1.to_q"), ("two", "blocks.9.attn1.to_q"))
    for name, module in names:
        stored = {
            f"transformer.{module}.lora_A.weight": np.ones((2, 24), np.float32),
            "text_model.strange.lora_A.weight": np.ones((2, 24), np.float32),
        }
        safetensors.numpy.save_file(stored, tmp_path / f"{name}.safetensors")
    loras = [Lora(str(tmp_path / f"{name}.safetensors")) for name, _ in names]
    with pytest.raises(ValueError, match="(?s)one.*strange.*without.*two.*blocks.9"):
        with_adapters(wan, loras)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_infinite_values_are_refused(wan, pairs, originals, value, tmp_path):
    path = lora_forms.write("musubi", pairs, originals, tmp_path)
    tensors = safetensors.numpy.load_file(path)
    tensors["lora_unet_blocks_1_ffn_2.alpha"][...] = value
    safetensors.numpy.save_file(tensors, path)
    found = with_adapters(wan, [Lora(str(path))])
    with pytest.raises(ValueError, match="(?s)NaN.*blocks_1_ffn_2.alpha"):
        found.networks["dit"]


def write_header(path, shapes):
    """A file of these shapes whose tensors are a hole."""
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    return str(path)


@pytest.mark.parametrize(
    ("depth", "width", "names", "told"),
    [
        (40, 5120, "blocks.{}.self_attn.q", "40, as wan21_14b and .*, without an"),
        (40, 5120, "blocks.{}.cross_attn.k_img", "40, as wan21_i2v_14b.*, with an"),
        (
            30,
            1536,
            "blocks.{}.self_attn.o",
            "30, as wan21_1b3 and wan21_1b3_causal, without an",
        ),
        (30, 1536, "vace_blocks.{}.ffn.2", "30, as wan21_vace_1b3, without an"),
        (7, 64, "blocks.{}.ffn.0", "7, without an"),
    ],
)
@pytest.mark.parametrize("form", ["diffusion_model.{}", "lora_unet_{}"])
def test_an_adapter_of_another_model_is_described(
    depth, width, names, told, form, wan, tmp_path
):
    modules = [each.format(layer) for layer in range(depth) for each in (names, Q)]
    if form.startswith("lora_unet"):
        modules = [module.replace(".", "_") for module in modules]
    path = write_header(
        tmp_path / "a.safetensors",
        {
            f"{form.format(module)}.{end}.weight": shape
            for module in modules
            for end, shape in (("lora_down", (8, width)), ("lora_up", (width, 8)))
        },
    )
    told = f"looks like an adapter for a transformer of width {width} and depth {told}"
    with pytest.raises(ValueError, match=f"{told} image branch"):
        with_adapters(wan, [Lora(path)])


def test_a_model_of_one_transformer_takes_no_name_of_two(
    wan, pairs, originals, tmp_path
):
    path = str(lora_forms.write("musubi", pairs, originals, tmp_path))
    with pytest.raises(ValueError, match="has one transformer; leave out 'high:'"):
        with_adapters(wan, [Lora(path, 1.0, "high")])


def test_pickles_are_refused(wan, tmp_path):
    path = tmp_path / "a.pt"
    path.write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(ValueError, match="safetensors"):
        with_adapters(wan, [Lora(str(path))])

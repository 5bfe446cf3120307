"""LoRA files of all programs mean the same."""

import json

import jax
import numpy as np
import pytest
import safetensors.numpy

from sora_jax.config import AdapterConfig
from sora_jax.families.wan import models
from sora_jax.models.dit import DiT
from sora_jax.weights import adapters, peft_files
from sora_jax.weights.adapter_paths import Lora, parse_lora
from sora_jax.weights.applied_adapters import with_adapters
from sora_jax.weights.modules import flatten, parameters
from sora_jax.weights.transfer import export_tensors
from tests.helpers import lora_forms, tiny_wan
from tests.helpers.tiny import make


def tensors_with(weights, table, *loras, network="dit", merged=True):
    """The published tensors of a network with adapters."""
    found = with_adapters(weights, [parse_lora(str(x)) for x in loras], merged=merged)
    return dict(export_tensors(table, flatten(parameters(found.networks[network]))))


def assert_close(found, expected, atol=1e-6):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=atol, err_msg=name)


@pytest.mark.parametrize("form", lora_forms.FORMS)
def test_every_form_of_an_adapter_gives_the_same_parameters(
    form, wan, table, published, pairs, originals, tmp_path
):
    expected = dict(published)
    for name, (a, b) in pairs.items():
        expected[f"{name}.weight"] = expected[f"{name}.weight"] + (
            0.5 * lora_forms.ALPHA / len(a) * b @ a
        )
    path = lora_forms.write(form, pairs, originals, tmp_path)
    assert_close(tensors_with(wan, table, f"{path}:0.5"), expected)


def test_the_image_branch_is_changed_too(two, tmp_path):
    weights = tiny_wan.animates(two, models.WAN21_I2V_14B)
    dit = weights.networks["dit"]
    table = weights.family.tables(weights.config, "dit")[0]
    before = dict(export_tensors(table, flatten(parameters(dit))))
    pattern = r"blocks\..*add_[kv]_proj|.*image_embedder\.ff.*"
    originals = lora_forms.modules(weights.config.dit, pattern)
    assert len(originals) == 2 * 2 + 2
    shapes = {name: before[f"{name}.weight"].shape for name in originals}
    pairs, expected = lora_forms.drawn(shapes), dict(before)
    for name, (a, b) in pairs.items():
        product = lora_forms.ALPHA / len(a) * b @ a
        expected[f"{name}.weight"] = expected[f"{name}.weight"] + product
    for form in ("diffusers", "lightx2v", "musubi"):
        path = lora_forms.write(form, pairs, originals, tmp_path)
        assert_close(tensors_with(weights, table, path), expected, atol=1e-5)


def test_adapters_add_up(wan, table, published, pairs, originals, tmp_path):
    path = lora_forms.write("musubi", pairs, originals, tmp_path)
    once = tensors_with(wan, table, path)
    twice = tensors_with(wan, table, f"{path}:0.75", f"{path}:0.25")
    assert_close(twice, once)


WHOLE = {
    "patch_embedding.diff": "patch_embedding.weight",
    "patch_embedding.diff_b": "patch_embedding.bias",
    "head.head.diff": "head.head.weight",
    "blocks.1.diff_m": "blocks.1.modulation",
    "head.diff_m": "head.modulation",
    "blocks.0.norm3.diff": "blocks.0.norm3.weight",
    "blocks.0.norm3.diff_b": "blocks.0.norm3.bias",
    "blocks.1.self_attn.norm_q.diff": "blocks.1.self_attn.norm_q.weight",
    "blocks.1.cross_attn.k.diff_b": "blocks.1.cross_attn.k.bias",
    "blocks.1.self_attn.q.diff_b": "blocks.1.self_attn.q.bias",
    "time_projection.1.diff": "time_projection.1.weight",
    "text_embedding.0.diff_b": "text_embedding.0.bias",
}


def test_changes_of_whole_tensors_are_added(wan, tmp_path):
    table = wan.family.networks["dit"].table(wan.config.dit, "original")
    before = dict(export_tensors(table, flatten(parameters(wan.networks["dit"]))))
    rng = np.random.default_rng(0)
    expected, stored = dict(before), {}
    for key, name in WHOLE.items():
        delta = rng.normal(size=before[name].shape).astype(np.float32)
        stored[f"diffusion_model.{key}"] = delta
        expected[name] = before[name] + 0.5 * delta
    safetensors.numpy.save_file(stored, tmp_path / "whole.safetensors")
    path = f"{tmp_path}/whole.safetensors:0.5"
    for merged in (True, False):
        assert_close(tensors_with(wan, table, path, merged=merged), expected)


def test_the_factors_of_a_convolution(wan, table, published, tmp_path):
    rng = np.random.default_rng(0)
    weight = published["patch_embedding.weight"]
    a = rng.normal(size=(2, *weight.shape[1:])).astype(np.float32)
    b = rng.normal(size=(len(weight), 2, 1, 1, 1)).astype(np.float32)
    key = "transformer.patch_embedding.lora"
    stored = {f"{key}_A.weight": a, f"{key}_B.weight": b}
    bias = rng.normal(size=len(weight)).astype(np.float32)
    stored[f"{key}_B.bias"] = bias
    safetensors.numpy.save_file(stored, tmp_path / "a.safetensors")
    product = np.einsum("or,rcthw->octhw", b[..., 0, 0, 0], a)
    expected = dict(published) | {
        "patch_embedding.weight": weight + product,
        "patch_embedding.bias": published["patch_embedding.bias"] + bias,
    }
    found = tensors_with(wan, table, tmp_path / "a.safetensors")
    assert_close(found, expected, atol=1e-5)


def test_the_config_of_diffusers_in_the_metadata_tells_alpha(
    wan, table, published, tmp_path
):
    keys = ["blocks.0.attn1.to_q", "blocks.0.attn1.to_k"]
    shapes = {key: published[f"{key}.weight"].shape for key in keys}
    pairs = lora_forms.drawn(shapes, ranks=(4,))
    stored = {
        f"transformer.{key}.lora_{half}.weight": value
        for key, pair in pairs.items()
        for half, value in zip("AB", pair, strict=True)
    }
    said = {"r": 4, "lora_alpha": 8, "alpha_pattern": {"attn1.to_k": 2.0}}
    said = {f"transformer.{name}": value for name, value in said.items()}
    path = tmp_path / "pytorch_lora_weights.safetensors"
    metadata = {"format": "pt", "lora_adapter_metadata": json.dumps(said)}
    safetensors.numpy.save_file(stored, path, metadata=metadata)
    expected = dict(published)
    for key, scale in zip(keys, (2.0, 0.5), strict=True):
        a, b = pairs[key]
        name = f"{key}.weight"
        expected[name] = expected[name] + scale * b @ a
    # The folder stands for the file of this name.
    assert_close(tensors_with(wan, table, tmp_path), expected)


def test_whole_numbers_are_alphas_too(wan, table, pairs, originals, tmp_path):
    path = lora_forms.write("musubi", pairs, originals, tmp_path)
    expected = tensors_with(wan, table, path)
    tensors = safetensors.numpy.load_file(path)
    alphas = {k: np.int64(v) for k, v in tensors.items() if k.endswith("alpha")}
    safetensors.numpy.save_file(
        tensors | {k: np.array(v) for k, v in alphas.items()}, path
    )
    assert_close(tensors_with(wan, table, path), expected)


def test_of_two_transformers_one_is_named(two, table, pairs, originals, tmp_path):
    path = lora_forms.write("musubi", pairs, originals, tmp_path)
    changed = {}
    for called, network, other in (
        ("high", "dit", "dit_low"),
        ("low", "dit_low", "dit"),
    ):
        lora = parse_lora(f"{called}:{path}:0.5")
        assert lora == Lora(str(path), 0.5, called)
        found = with_adapters(two, [lora])
        assert found.networks[other] is two.networks[other]
        changed[called] = found.networks[network]
    assert_differs(changed["high"], two.networks["dit"])
    assert_differs(changed["low"], two.networks["dit_low"])
    both = with_adapters(two, [Lora(str(path), 0.5, each) for each in ("high", "low")])
    assert_same(both.networks["dit"], changed["high"])
    assert_same(both.networks["dit_low"], changed["low"])
    told = f"two transformers; give --lora high:{path} or --lora low:{path}, or both"
    with pytest.raises(ValueError, match=told):
        with_adapters(two, [Lora(str(path))])


def assert_same(one, other):
    jax.tree.map(np.testing.assert_array_equal, parameters(one), parameters(other))


def assert_differs(one, other):
    difference = one.blocks.up.kernel[...] - other.blocks.up.kernel[...]
    assert np.abs(difference).max() > 0.01


def test_a_file_with_factors_of_both_transformers(two, pairs, originals, tmp_path):
    first = lora_forms.tensors_of("diffusers", pairs, originals)
    second = {
        name.replace("transformer.", "transformer_2."): 2 * value
        for name, value in first.items()
    }
    paths = {}
    for name, tensors in (("a", first), ("b", second), ("ab", first | second)):
        paths[name] = str(tmp_path / f"{name}.safetensors")
        safetensors.numpy.save_file(tensors, paths[name])

    def low(name, called):
        network = two.family.transformers[called]
        return with_adapters(two, [Lora(paths[name], 1.0, called)]).networks[network]

    assert_same(low("ab", "high"), low("a", "high"))
    assert_same(low("ab", "low"), low("b", "low"))


def test_an_adapter_written_for_diffusers_comes_back(wan, table, tmp_path):
    model = make(DiT, wan.config.dit)
    config = AdapterConfig(rank=3, alpha=6.0, targets=("blocks/.*", "head", "embed"))
    adapter = lora_forms.random_adapter(model, config)
    path = tmp_path / "pytorch_lora_weights.safetensors"
    peft_files.save_for_diffusers(path, adapter, model, table)
    assert (
        "transformer.blocks.0.attn1.to_q.lora_A.weight"
        in safetensors.numpy.load_file(path)
    )
    merged = adapters.merge(adapters.insert(model, adapter))
    expected = dict(export_tensors(table, flatten(parameters(merged))))
    assert_close(tensors_with(wan, table, path), expected, atol=2e-5)

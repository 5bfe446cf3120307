"""Adapters in PEFT's form mean the same as in ours."""

import json
import re

import numpy as np
import pytest
import safetensors.numpy

from sora_jax.config import AdapterConfig
from sora_jax.families import WAN
from sora_jax.models.dit import DiT
from sora_jax.weights import adapters, peft_files
from sora_jax.weights.modules import flatten, parameters
from sora_jax.weights.transfer import export_tensors
from tests.helpers.lora_forms import random_adapter
from tests.helpers.tiny import make
from tests.helpers.tiny_wan import two_experts

CONFIG = AdapterConfig(rank=3, alpha=6.0, targets=("blocks/.*", "head"))


@pytest.fixture(scope="module")
def wan(text_config):
    return make(DiT, two_experts(text_config).config.dit)


@pytest.fixture(scope="module")
def table(wan):
    return WAN.networks["dit"].table(wan.config, "diffusers")


def kernels_with(model, adapter):
    merged = adapters.merge(adapters.insert(model, adapter))
    return flatten(parameters(merged))


def assert_same_kernels(model, one, other):
    expected, found = kernels_with(model, one), kernels_with(model, other)
    for path, value in expected.items():
        np.testing.assert_allclose(
            np.asarray(found[path]), np.asarray(value), atol=2e-5, err_msg=str(path)
        )


@pytest.mark.parametrize("published", [True, False])
def test_round_trip(wan, table, published, tmp_path):
    names = table if published else ()
    adapter = random_adapter(wan, CONFIG)
    peft_files.save_adapter(tmp_path, adapter, wan, names)
    loaded = peft_files.load_adapter(tmp_path, wan, names)
    assert loaded.config.rank == CONFIG.rank
    assert_same_kernels(wan, adapter, loaded)


def test_factors_of_published_maps_add_to_the_published_tensors(wan, table, tmp_path):
    """Each map has factors of its own, as PEFT trains them beside q, k and v."""
    tensors = dict(export_tensors(table, flatten(parameters(wan))))
    rng = np.random.default_rng(1)
    stored, expected = {}, {}
    names = [n for n in tensors if re.search(r"attn1\.to_[qkv]\.weight|ffn.*weight", n)]
    assert len(names) == 2 * 5
    for name in names:
        out, features = tensors[name].shape
        a = rng.normal(size=(2, features)).astype(np.float32)
        b = rng.normal(size=(out, 2)).astype(np.float32)
        key = f"base_model.model.{name.removesuffix('.weight')}"
        stored |= {f"{key}.lora_A.weight": a, f"{key}.lora_B.weight": b}
        expected[name] = tensors[name] + 4 / 2 * b @ a
    safetensors.numpy.save_file(stored, tmp_path / peft_files.TENSORS)
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["to_q"]}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    adapter = peft_files.load_adapter(tmp_path, wan, table)
    assert adapter.config.rank == 6  # q, k and v beside one another
    merged = adapters.merge(adapters.insert(wan, adapter))
    found = dict(export_tensors(table, flatten(parameters(merged))))
    for name, value in tensors.items():
        np.testing.assert_allclose(
            found[name], expected.get(name, value), atol=2e-4, err_msg=name
        )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"peft_type": "LOHA"}, "peft_type 'LOHA'"),
        ({"use_dora": True}, "use_dora True"),
        ({"bias": "all"}, "bias 'all'"),
        ({"r": 0}, "r 0"),
        ({"lora_alpha": 0}, "alpha 0"),
        ({"r": "many"}, "r"),
        ({"alpha_pattern": {"(.*)+to_q": 4}}, "alpha_pattern"),
        ({"alpha_pattern": {"to_q": -4}}, "alpha 6, -4"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out True"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights 'pissa'"),
        ({"init_lora_weights": "olora"}, "init_lora_weights 'olora'"),
    ],
)
def test_other_kinds_are_refused_by_name(wan, change, told, tmp_path):
    peft_files.save_adapter(tmp_path, random_adapter(wan, CONFIG), wan)
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=told):
        peft_files.load_adapter(tmp_path, wan)


@pytest.mark.parametrize("value", [True, False, None, "gaussian"])
def test_how_factors_began_does_not_matter(wan, value, tmp_path):
    peft_files.save_adapter(tmp_path, random_adapter(wan, CONFIG), wan)
    path = tmp_path / "adapter_config.json"
    told = json.loads(path.read_text()) | {"init_lora_weights": value}
    path.write_text(json.dumps(told))
    assert peft_files.load_adapter(tmp_path, wan).config.rank == CONFIG.rank


def test_factors_of_another_model_are_named(wan, table, tmp_path):
    peft_files.save_adapter(tmp_path, random_adapter(wan, CONFIG), wan)
    with pytest.raises(
        ValueError, match="(?s)does not fit the model.*not of this.*blocks.0"
    ):
        peft_files.load_adapter(tmp_path, wan, table)


def test_damaged_factors_are_refused(wan, tmp_path):
    peft_files.save_adapter(tmp_path, random_adapter(wan, CONFIG), wan)
    path = tmp_path / peft_files.TENSORS
    tensors = safetensors.numpy.load_file(path)
    name = next(iter(tensors))
    safetensors.numpy.save_file({**tensors, name: tensors[name] * np.nan}, path)
    with pytest.raises(ValueError, match="NaN"):
        peft_files.load_adapter(tmp_path, wan)
    other = {key: value for key, value in tensors.items() if key != name}
    safetensors.numpy.save_file(other, path)
    with pytest.raises(ValueError, match="without the other factor"):
        peft_files.load_adapter(tmp_path, wan)


def test_an_adapter_of_a_text_encoder_goes_through_too(text_config, tmp_path):
    from sora_jax.models.text_encoder import TextEncoder

    encoder = make(TextEncoder, text_config)
    adapter = random_adapter(encoder, AdapterConfig(rank=2, targets=("layers/.*",)))
    peft_files.save_adapter(tmp_path, adapter, encoder)
    assert_same_kernels(encoder, adapter, peft_files.load_adapter(tmp_path, encoder))

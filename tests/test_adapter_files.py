"""Adapters on disk, and on meshes."""

import dataclasses
import json

import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from sora_jax.config import AdapterConfig
from sora_jax.models.dit import DiT
from sora_jax.weights import adapter_files, adapters, peft_files
from sora_jax.weights.adapter_files import Base
from sora_jax.weights.adapter_paths import Lora, parse_lora
from sora_jax.weights.applied_adapters import with_adapters
from tests.helpers.processes import on_many_devices
from tests.helpers.tiny import make

CONFIG = AdapterConfig(targets=("blocks/self_attention/.*", "head"), rank=2, alpha=3.0)
BASE = Base(name="tiny", digest="0123-4567", network="dit")
MESHES = [{"fsdp": 2, "tensor": 4}, {"data": 2, "fsdp": 4}]


@pytest.fixture(scope="module")
def dit(dit_config):
    return make(DiT, dit_config)


@pytest.fixture
def adapter(dit):
    return adapters.extract(adapters.attach(dit, CONFIG, nnx.Rngs(0)), CONFIG)


@pytest.fixture
def path(adapter, tmp_path):
    adapter_files.save_adapter(tmp_path / "a.safetensors", adapter, BASE)
    return tmp_path / "a.safetensors"


def change(path, metadata=None, **tensors):
    """Write a file again with other tensors (None: without it) or other metadata."""
    with safetensors.safe_open(path, framework="numpy") as file:
        kept = file.metadata() | (metadata or {})
    content = safetensors.numpy.load_file(path) | tensors
    content = {name: value for name, value in content.items() if value is not None}
    safetensors.numpy.save_file(content, path, metadata=kept)


def test_round_trip(dit, adapter, path):
    assert adapter_files.read_description(path) == (CONFIG, BASE)
    loaded = adapter_files.load_adapter(path, dit, BASE)
    assert loaded.config == CONFIG and loaded.factors.keys() == adapter.factors.keys()
    for name, factors in adapter.factors.items():
        np.testing.assert_array_equal(loaded.factors[name].down, factors.down)
        np.testing.assert_array_equal(loaded.factors[name].up, factors.up)
    model = adapters.insert(dit, loaded)
    assert model.head.lora_scale == 1.5 and model.blocks.up.lora_down is None


def test_the_base_is_that_of_the_weights(weights):
    assert adapter_files.base_of(weights, "dit") == Base(
        name=weights.config.name, digest=weights.digest, network="dit"
    )


def test_the_workdir_of_a_fine_tuning_stands_for_its_adapter(tmp_path):
    (tmp_path / "adapter.safetensors").write_bytes(b"here")
    found = parse_lora(f"{tmp_path}:0.5")
    assert found == Lora(str(tmp_path / "adapter.safetensors"), 0.5)
    named = parse_lora(f"low:{tmp_path}")
    assert named == Lora(str(tmp_path / "adapter.safetensors"), 1.0, "low")
    with pytest.raises(ValueError, match="is a folder; give a file"):
        parse_lora(str(tmp_path.parent))


@pytest.mark.parametrize("field", ["name", "digest", "network"])
def test_another_base_is_refused_by_name_unless_any_is_asked_for(dit, path, field):
    base = dataclasses.replace(BASE, **{field: "another"})
    with pytest.raises(ValueError, match="belongs to the dit of 'tiny'.*another"):
        adapter_files.load_adapter(path, dit, base)
    assert adapter_files.load_adapter(path, dit, None).config == CONFIG


def test_a_model_of_another_shape_is_refused_by_name(dit, path):
    wider = dataclasses.replace(dit.config, width=2 * dit.config.width)
    other = nnx.eval_shape(lambda: DiT(wider, rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match="(?s)another shape:.*head/lora_down: "):
        adapter_files.load_adapter(path, other, BASE)


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ({"head/lora_up": None}, "missing:.*head/lora_up"),
        ({"strange": np.zeros(2, np.float32)}, "unexpected:.*strange"),
        ({"blocks/up/x": np.zeros(2, np.float32)}, "unexpected:.*blocks/up/x"),
        ({"head/lora_up": np.zeros((3, 3), np.float32)}, r"head/lora_up: \[3, 3\] in"),
        ({"head/lora_up": np.zeros((2, 16), np.int32)}, "are of type 'I32'"),
        ({"head/lora_up": np.full((2, 16), np.nan, np.float32)}, "NaN.*again:.*head"),
    ],
)
def test_tensors_that_do_not_fit_are_named(dit, path, tensors, told):
    change(path, **tensors)
    with pytest.raises(ValueError, match=f"(?s){told}"):
        adapter_files.load_adapter(path, dit, BASE)


def test_a_file_without_factors_is_refused(dit, path):
    change(path, **dict.fromkeys(safetensors.numpy.load_file(path)))
    with pytest.raises(ValueError, match="it has no factors"):
        adapter_files.load_adapter(path, dit, BASE)


CONFIG_JSON = {"targets": ["head"], "rank": 2, "alpha": 3.0}


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({"format": "pt"}, "its 'format' is 'pt'"),
        ({"adapter": ""}, "a.safetensors': adapter: "),
        ({"adapter": "[]"}, "a.safetensors': adapter: "),
        ({"adapter": "[" * 10**5}, "a.safetensors': adapter: "),
        ({"adapter": json.dumps(CONFIG_JSON | {"rank": -1})}, "adapter.rank"),
        ({"adapter": json.dumps(CONFIG_JSON | {"rank": 2**40})}, "adapter.rank"),
        ({"adapter": json.dumps(CONFIG_JSON | {"rank": "2"})}, "adapter: .*rank"),
        ({"adapter": json.dumps(CONFIG_JSON | {"alpha": 0})}, "adapter.alpha"),
        ({"adapter": json.dumps(CONFIG_JSON | {"targets": ["("]})}, "adapter.targets"),
        ({"adapter": json.dumps({"rank": 2})}, "a.safetensors': adapter: .*lacks"),
        ({"base": json.dumps({"name": "tiny"})}, "a.safetensors': base: .*lacks"),
        ({"base": "5"}, "a.safetensors': base: "),
    ],
)
def test_metadata_are_checked(dit, path, metadata, told):
    change(path, metadata)
    with pytest.raises(ValueError, match=told):
        adapter_files.load_adapter(path, dit, BASE)


@pytest.mark.parametrize(
    ("base", "told"),
    [
        ({"network": "dit_low"}, "network 'dit_low', and 'tiny' has .*dit"),
        ({"digest": ""}, "does not say which weights"),
        ({"digest": "another"}, "belongs to the dit of 'tiny' .another"),
    ],
)
def test_an_adapter_that_fits_no_network_is_refused(weights, path, base, told):
    change(path, {"base": json.dumps(dataclasses.asdict(BASE) | base)})
    with pytest.raises(ValueError, match=told):
        with_adapters(weights, [Lora(str(path))])


def test_the_digest_tells_every_file_of_an_adapter(dit, weights, adapter, tmp_path):
    digests = set()
    for alpha in (3.0, 6.0):
        config = dataclasses.replace(adapter.config, alpha=alpha)
        changed = dataclasses.replace(adapter, config=config)
        peft_files.save_adapter(tmp_path / "peft", changed, dit)
        found = with_adapters(weights, [Lora(str(tmp_path / "peft"))])
        digests.add(found.digest)
    assert len(digests) == 2


def test_regular_expressions_of_a_file_are_not_run(dit, path):
    """Some take longer than the age of the universe."""
    endless = CONFIG_JSON | {"targets": ["(([a-z_/]+)+)+!"]}
    change(path, {"adapter": json.dumps(endless)})
    adapters.insert(dit, adapter_files.load_adapter(path, dit, BASE))


def test_damaged_files_and_pickles_are_refused(dit, path, tmp_path):
    content = path.read_bytes()
    for length in (0, 5, 30, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="damaged or cut short .*again"):
            adapter_files.load_adapter(path, dit, BASE)
    with pytest.raises(ValueError, match="may be a pickle"):
        adapter_files.load_adapter(tmp_path / "a.bin", dit, BASE)
    with pytest.raises(ValueError, match="a.npz'? must be a .safetensors"):
        adapter_files.read_description(tmp_path / "a.npz")


@pytest.mark.slow
def test_factors_lie_on_a_mesh_as_their_kernels_do():
    found = on_many_devices("adapters_on_many_devices", MESHES)
    assert [one.pop("mesh") for one in found] == MESHES
    for one in found:
        assert one.pop("unmerged") <= 1e-9 and one.pop("merged") <= 1e-9
        assert one == {"lie": True, "stays": True, "devices": 8}

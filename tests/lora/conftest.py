"""A small Wan model, and an adapter for it."""

import pytest

from sora_jax.weights.modules import flatten, parameters
from sora_jax.weights.transfer import export_tensors
from tests.helpers import lora_forms, tiny_wan


@pytest.fixture(scope="module")
def two(text_config):
    return tiny_wan.two_experts(text_config)


@pytest.fixture(scope="module")
def wan(two):
    return tiny_wan.one_expert(two)


@pytest.fixture(scope="module")
def table(wan):
    return wan.family.networks["dit"].table(wan.config.dit, "diffusers")


@pytest.fixture(scope="module")
def originals(wan):
    return lora_forms.modules(wan.config.dit)


@pytest.fixture(scope="module")
def published(wan, table):
    return dict(export_tensors(table, flatten(parameters(wan.networks["dit"]))))


@pytest.fixture(scope="module")
def pairs(published, originals):
    shapes = {name: published[f"{name}.weight"].shape for name in originals}
    assert len(shapes) == 2 * 10
    return lora_forms.drawn(shapes)

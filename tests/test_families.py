"""The contract that every model family keeps."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from flax import nnx

from sora_jax.config import ModelConfig, from_json
from sora_jax.families import FAMILIES, OURS
from sora_jax.weights import bundle
from sora_jax.weights.modules import abstract_of, flatten

DEFAULT = bundle.describe(bundle.ASSETS)
MODELS = [(OURS, DEFAULT)]
MODELS += [(family, model) for family in FAMILIES for model in family.models.values()]


def label(x):
    return x if isinstance(x, str) else x.name


def small(model):
    """The same model, thin and short, so that its parameters can be in memory."""
    control = (1,) if model.dit.control_layers else ()
    dit = dataclasses.replace(
        model.dit, width=24, heads=2, depth=2, mlp=32, control_layers=control
    )
    text = dataclasses.replace(
        model.text, vocabulary=40, width=12, heads=2, head_dim=4, mlp=16, depth=2
    )
    vae = dataclasses.replace(model.vae, encoder_width=4, decoder_width=4)
    contexts, picture = {"text": text.width}, model.picture
    if picture is not None:
        picture = dataclasses.replace(picture, width=16, heads=2, mlp=24, depth=2)
        contexts["picture"] = picture.width
    dit = dataclasses.replace(dit, contexts=tuple(contexts.items()))
    return dataclasses.replace(model, dit=dit, vae=vae, text=text, picture=picture)


def different(models, change):
    """The networks of models, but one of each size: many share their encoders."""
    found = {}
    for family, model in models:
        for name, spec in family.used(model).items():
            key = family.name, name, spec.sizes(change(model))
            found.setdefault(key, (family, model, name))
    return [*found.values()]


NETWORKS = different(MODELS, lambda model: model)
TABLES = [
    (*one, layout.name) for one in different(MODELS, small) for layout in one[0].layouts
]


def parameters_of(family, model, name):
    _, shapes = abstract_of(family.networks[name].build(model))
    return flatten(shapes)


def test_names_are_unique():
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
    names = [name for family in FAMILIES for name in family.models]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("family", FAMILIES, ids=label)
def test_a_family_names_networks_that_it_has(family):
    for model in (*family.models.values(), *([DEFAULT] if family is OURS else [])):
        assert isinstance(model, family.config) and family.summary(model)
        assert family.heads(model) >= 1
        contexts = {name for name, _ in model.dit.contexts}
        assert contexts <= set(family.contexts)
        assert {family.contexts[name] for name in contexts} <= set(family.used(model))
    for layout in family.layouts:
        assert all(spec.table for spec in family.networks.values()), layout.name
        if layout.exporter is not None:
            assert set(layout.exporter.networks) == set(family.networks)


@pytest.mark.parametrize(("family", "model", "name"), NETWORKS, ids=label)
def test_networks_are_built_without_memory(family, model, name):
    module = nnx.eval_shape(lambda: family.networks[name].build(model)(nnx.Rngs(0)))
    leaves = jax.tree.leaves(nnx.state(module))
    assert leaves and all(isinstance(x, jax.ShapeDtypeStruct) for x in leaves)


@pytest.mark.parametrize(("family", "model"), MODELS, ids=label)
def test_a_config_survives_json(family, model):
    data = json.loads(json.dumps(dataclasses.asdict(model)))
    assert from_json(family.config, data, whole=True) == model
    assert isinstance(model, ModelConfig)


@pytest.mark.parametrize(("family", "model", "name", "layout"), TABLES, ids=label)
def test_a_table_covers_every_element_of_every_parameter_once(
    family, model, name, layout
):
    model = small(model)
    spec = family.networks[name]
    table = spec.table(spec.sizes(model), layout)
    names = [entry.name for entry in table]
    assert len(set(names)) == len(names)
    shapes = parameters_of(family, model, name)
    counts = {path: np.zeros(shape.shape, np.int8) for path, shape in shapes.items()}
    for entry in table:
        counts[entry.path][entry.index] += 1
    for path, count in counts.items():
        assert (count == (0 if path in spec.constants else 1)).all(), path


@pytest.mark.parametrize(("family", "model", "name", "layout"), TABLES, ids=label)
def test_a_transform_and_its_inverse_cancel(family, model, name, layout):
    model = small(model)
    spec = family.networks[name]
    shapes = parameters_of(family, model, name)
    for entry in spec.table(spec.sizes(model), layout):
        shape = shapes[entry.path].shape
        whole = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
        part = whole[entry.index]
        stored = np.ascontiguousarray(entry.transform.inverse(part))
        assert stored.shape == entry.file_shape(shape), entry.name
        np.testing.assert_array_equal(entry.transform.forward(stored), part)

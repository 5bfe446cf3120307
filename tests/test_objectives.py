"""The contract of objectives, and of the filters that say what is trained."""

import dataclasses
import json

import numpy as np
import pytest

from sora_jax import parameter_trees as trees
from sora_jax.config import AdapterConfig, DiTRun, VAERun, from_json
from sora_jax.config.trainable import trainable_pattern
from sora_jax.training.objectives.objective import Objective
from tests.helpers.objective_cases import CASES, gradients, plan
from tests.helpers.processes import run_module

FILTERS = {
    "flow matching": ("all", "text_encoder", "dit/blocks/.*"),
    "reconstruction": ("all", "decoder", "critic"),
}


@pytest.mark.parametrize(
    ("name", "trainable"), [(n, each) for n, some in FILTERS.items() for each in some]
)
def test_the_gradient_reaches_exactly_what_is_trained(name, trainable):
    case = CASES[name]
    fields = {"trainable": trainable}
    if trainable != "all":
        fields["start_from"] = "some"
    program = plan(dataclasses.replace(case, **fields))
    everything = {*trees.path_names(program.abstract.params)}
    trained = {*trees.path_names(program.state.abstract.params)}
    frozen = {*trees.path_names(program.frozen)}
    assert trained | frozen == everything and not trained & frozen
    expected = trainable_pattern(trainable)
    assert trained == {path for path in everything if expected.fullmatch(path)}
    assert isinstance(program.objective, Objective)
    (loss, metrics), grads = gradients(program, case)
    for value in (loss, *metrics.values()):
        assert value.shape == () and np.isfinite(value)
    norms = {
        trees.path_name(path): float(abs(x).max())
        for path, x in trees.flatten_dict(grads).items()
    }
    assert norms.keys() == trained
    # The measured statistics of latents follow no gradient.
    still = {name for name in norms if name.startswith("vae/latent_")}
    assert all(norms[name] > 0 for name in trained - still)


def test_a_filter_that_matches_nothing_is_named_beside_close_paths():
    config = dataclasses.replace(
        CASES["flow matching"], trainable="dit/block/.*", start_from="some"
    )
    with pytest.raises(ValueError, match="trainable 'dit/block/.*' .*'dit/blocks"):
        plan(config)
    with pytest.raises(ValueError, match="trainable .* regular expression .*'\\('"):
        DiTRun(trainable="(", start_from="some")
    with pytest.raises(ValueError, match="trainable must be 'all' without start_from"):
        VAERun(trainable="decoder")


def test_a_run_of_version_0_1_that_trained_a_decoder_still_does():
    old = {"kind": "VAERun", "decoder_only": True, "start_from": "some"}
    assert from_json(VAERun, old).trainable == "decoder"
    assert from_json(VAERun, old | {"decoder_only": False}).trainable == "all"


def test_adapters_alone_are_trained():
    case = dataclasses.replace(
        CASES["flow matching"],
        trainable="adapters",
        start_from="some",
        adapter=AdapterConfig(rank=2, targets=("blocks/self_attention/.*",)),
    )
    program = plan(case)
    trained = trees.path_names(program.state.abstract.params)
    assert trained and all("/lora_" in name for name in trained)
    _, grads = gradients(program, case)
    assert sorted(trees.path_names(grads)) == sorted(trained)


@pytest.mark.slow
# All is computed in float64, but for the scores of the VAE's attention, which
# jax.nn.dot_product_attention keeps in float32.
@pytest.mark.parametrize(
    ("name", "bound"), [("flow matching", 1e-9), ("reconstruction", 1e-5)]
)
def test_sharded_is_single(name, bound):
    printed = run_module("tests.spawned.objective_on_many_devices", name)
    assert json.loads(printed) < bound

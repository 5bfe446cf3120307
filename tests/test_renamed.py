"""Folders of earlier versions load: their fields' names are translated."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from sora_jax.config import DiTRun, ModelConfig, VAERun, plain, renamed
from sora_jax.weights import bundle

OLD = Path(__file__).parent / "old" / "config_0_1.json"


def test_the_shipped_weights_of_version_0_1_describe_the_same_model(tmp_path):
    shutil.copy(OLD, tmp_path / "config.json")
    assert bundle.describe(tmp_path) == bundle.describe(bundle.ASSETS)


@pytest.mark.parametrize("run", [DiTRun, VAERun])
def test_workdirs_of_version_0_1_describe_the_same_run(run):
    config = run() if run is VAERun else run(latents="clips")
    old = json.loads(json.dumps(plain.to_json(config)))

    def rename(kind, data):
        table = renamed.RENAMED.get(kind) or renamed.RENAMED["Run"]
        for before, now in table.items():
            if now in data:
                data[before] = data.pop(now)

    rename(run.__name__, old)
    assert "products" in old
    for name, kind in (
        ("dit", "DiTConfig"),
        ("vae", "VAEConfig"),
        ("packing", "PackingConfig"),
    ):
        if name in old:
            rename(kind, old[name])
    assert plain.from_json(run, old) == config


@pytest.mark.parametrize(
    ("kind", "names"),
    [(name, table) for name, table in renamed.RENAMED.items() if name != "Run"],
)
def test_new_names_are_fields_and_old_ones_are_not(kind, names):
    from sora_jax import config

    cls = getattr(config, kind, ModelConfig)
    fields = {field.name for field in dataclasses.fields(cls)}
    assert set(names.values()) <= fields and not set(names) & fields


def test_an_old_name_beside_the_new_one_is_refused():
    data = plain.to_json(bundle.describe(bundle.ASSETS).dit)
    with pytest.raises(ValueError, match="places"):
        plain.from_json(
            type(bundle.describe(bundle.ASSETS).dit), data | {"places": True}
        )

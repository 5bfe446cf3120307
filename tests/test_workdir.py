"""A workdir belongs to one config."""

import json
from functools import partial

import pytest

from sora_jax.config import VAERun, to_json, updated_config
from sora_jax.workdir import keep_config, refuse_other_config


def test_same_config(tmp_path):
    config = {"steps": 10, "optim": {"lr": 1e-3, "betas": (0.9, 0.99)}, "name": "dit"}
    refuse_other_config(tmp_path / "run", config)
    assert not (tmp_path / "run").exists()  # A run that is refused leaves nothing.
    keep_config(tmp_path / "run", config)
    refuse_other_config(tmp_path / "run", config)
    longer = {**config, "steps": 20}
    refuse_other_config(tmp_path / "run", longer, may_differ=("steps",))
    keep_config(tmp_path / "run", longer)
    assert json.loads((tmp_path / "run/config.json").read_text())["steps"] == 20
    other = {"steps": 20, "optim": {"lr": 3e-4, "betas": (0.9, 0.99)}, "nane": "dit"}
    with pytest.raises(ValueError, match="--workdir .*run' holds the run") as error:
        refuse_other_config(tmp_path / "run", other, may_differ=("steps", "opt"))
    lines = [line for line in str(error.value).splitlines() if line.startswith("  ")]
    assert lines == [
        '  name: "dit" in the run, absent now',
        '  nane: absent in the run, "dit" now',
        "  optim.lr: 0.001 in the run, 0.0003 now",
    ]

    # A field that an earlier version did not know has its default.
    def update(before):
        return {"start": "", **before}

    refuse_other_config(tmp_path / "run", {**longer, "start": ""}, update=update)
    with pytest.raises(ValueError, match='start: "" in the run, "b" now'):
        changed = {**longer, "start": "b"}
        refuse_other_config(tmp_path / "run", changed, update=update)
    (tmp_path / "run/config.json").write_text("{")
    with pytest.raises(ValueError, match="config.json is not valid .*--workdir"):
        refuse_other_config(tmp_path / "run", config)


def test_a_config_of_an_earlier_version_is_read_with_its_names_of_today(tmp_path):
    old = to_json(VAERun(start_from="a", trainable="decoder"))
    old["products"] = old.pop("cpu_matmul_dtype")
    old["decoder_only"] = old.pop("trainable") == "decoder"
    old["vae"]["history"] = old["vae"].pop("temporal_padding")
    keep_config(tmp_path, old)
    update = partial(updated_config, VAERun)
    same = to_json(VAERun(start_from="a", trainable="decoder"))
    refuse_other_config(tmp_path, same, update=update)
    with pytest.raises(ValueError, match='trainable: "decoder" in the run, "all" now'):
        other = to_json(VAERun(start_from="a"))
        refuse_other_config(tmp_path, other, update=update)

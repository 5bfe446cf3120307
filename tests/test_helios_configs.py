"""Configs of Helios' folders are read as diffusers does, or refused by field."""

import json

import pytest
from etils import epath

from sora_jax.families.helios import models, scheduler, transformer_json

# As published, but small.
TRANSFORMER = {
    "attention_head_dim": 24,
    "num_attention_heads": 2,
    "in_channels": 16,
    "out_channels": 16,
    "patch_size": [1, 2, 2],
    "ffn_dim": 40,
    "num_layers": 2,
    "freq_dim": 32,
    "text_dim": 20,
    "rope_dim": [8, 8, 8],
}
STAGED = {"_class_name": "HeliosDMDScheduler", "use_dynamic_shifting": True}


def scheduling(path, is_staged=True, **fields):
    folder = path / "scheduler"
    folder.mkdir()
    (folder / "scheduler_config.json").write_text(json.dumps(fields))
    return scheduler.scheduling(epath.Path(path), is_staged=is_staged)


def test_what_is_absent_has_the_defaults_of_diffusers(tmp_path):
    config = transformer_json.dit_config(TRANSFORMER, 16)
    assert config.history == models.BASE.dit.history
    told = scheduling(tmp_path, **STAGED)
    assert told == ("renoise", {"stages": 3, "gamma": 1 / 3, "grows": "linear"})


@pytest.mark.parametrize(
    "field, value",
    [
        ("rope_dim", [4, 8, 12]),
        ("in_channels", 20),
        ("added_kv_proj_dim", 48),
        ("has_multi_term_memory_patch", False),
        ("history_scale_mode", "per_layer"),
        ("eps", 1e-5),
        ("num_layers", "2"),
    ],
)
def test_transformers_of_another_kind_are_refused(field, value):
    with pytest.raises(ValueError, match=field):
        transformer_json.dit_config({**TRANSFORMER, field: value}, 16)


@pytest.mark.parametrize(
    "field, value",
    [
        ("shift", 3.0),
        ("stage_range", [0, 0.5, 0.7, 1]),
        ("stage_range", [0, 1]),
        ("stages", 1),
        ("gamma", 0.5),
        ("solver_order", 3),
        ("prediction_type", "epsilon"),
        ("_class_name", "UniPCMultistepScheduler"),
        ("base_shift", 0.7),
    ],
)
def test_other_noise_levels_are_refused(tmp_path, field, value):
    with pytest.raises(ValueError, match=field):
        scheduling(tmp_path, **{**STAGED, field: value})

"""Settings of a scheduler are honoured or refused, field by field."""

import json

import pytest

from sora_jax.weights import folders

# What the publishers' folders say, as diffusers saves it.
PUBLISHED = {
    "_class_name": "UniPCMultistepScheduler",
    "_diffusers_version": "0.33.0.dev0",
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "beta_start": 0.0001,
    "disable_corrector": [],
    "dynamic_thresholding_ratio": 0.995,
    "final_sigmas_type": "zero",
    "flow_shift": 3.0,
    "lower_order_final": True,
    "num_train_timesteps": 1000,
    "predict_x0": True,
    "prediction_type": "flow_prediction",
    "rescale_betas_zero_snr": False,
    "sample_max_value": 1.0,
    "solver_order": 2,
    "solver_p": None,
    "solver_type": "bh2",
    "steps_offset": 0,
    "thresholding": False,
    "timestep_spacing": "linspace",
    "trained_betas": None,
    "use_beta_sigmas": False,
    "use_exponential_sigmas": False,
    "use_flow_sigmas": True,
    "use_karras_sigmas": False,
}
EULER = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3}


def schedule(folder, told):
    path = folder / "model_index.json"
    index = json.loads(path.read_text())
    index["scheduler"] = ["diffusers", told.get("_class_name", "None")]
    path.write_text(json.dumps(index))
    (folder / "scheduler/scheduler_config.json").write_text(json.dumps(told))


@pytest.mark.parametrize(
    "told, solver, shift",
    [
        (PUBLISHED, "unipc", 3.0),
        (PUBLISHED | {"flow_shift": 5}, "unipc", 5.0),
        (PUBLISHED | {"solver_type": "midpoint", "steps_offset": 1}, "unipc", 3.0),
        (PUBLISHED | {"shift_terminal": None, "sigma_min": None}, "unipc", 3.0),
        (PUBLISHED | {"time_shift_type": "exponential"}, "unipc", 3.0),
        ({n: v for n, v in PUBLISHED.items() if n != "flow_shift"}, "unipc", 1.0),
        (EULER, "euler", 3.0),
        (EULER | {"base_shift": 0.7, "use_dynamic_shifting": False}, "euler", 3.0),
        ({"_class_name": EULER["_class_name"]}, "euler", 1.0),
    ],
)
def test_what_our_solvers_do_is_honoured(copy, told, solver, shift):
    schedule(copy, told)
    sampling = folders.describe(copy).sampling
    assert (sampling.solver, sampling.shift) == (solver, shift)


@pytest.mark.parametrize(
    "fields",
    [
        {"solver_order": 3},
        {"solver_order": True},
        {"use_karras_sigmas": True},
        {"use_exponential_sigmas": True},
        {"use_beta_sigmas": True},
        {"use_flow_sigmas": False},
        {"use_dynamic_shifting": True},
        {"prediction_type": "epsilon"},
        {"prediction_type": "v_prediction", "solver_type": "bh1"},
        {"predict_x0": False},
        {"lower_order_final": False},
        {"final_sigmas_type": "sigma_min"},
        {"thresholding": True},
        {"disable_corrector": [0, 1]},
        {"solver_p": {"a": 1}},
        {"num_train_timesteps": 500},
        {"shift_terminal": 0.1},
        {"flow_shift": 0},
        {"flow_shift": "3"},
        {"flow_shift": None},
        {"an_option_of_tomorrow": 5},
    ],
)
def test_what_they_do_not_is_refused_with_every_field(copy, fields):
    schedule(copy, PUBLISHED | fields)
    with pytest.raises(ValueError, match="delete that file") as error:
        folders.load_weights(copy)
    assert all(f"{name}" in str(error.value) for name in fields)
    (copy / "scheduler/scheduler_config.json").unlink()  # as it says
    assert folders.describe(copy).sampling.solver == "unipc"


def test_an_absent_field_means_what_it_means_to_diffusers(copy):
    schedule(copy, {"_class_name": "UniPCMultistepScheduler", "flow_shift": 3.0})
    with pytest.raises(ValueError, match="(?s)'epsilon' .by default.*use_flow_sigmas"):
        folders.load_weights(copy)


@pytest.mark.parametrize(
    "told",
    [
        {"_class_name": "DPMSolverMultistepScheduler", "flow_shift": 3.0},
        {"_class_name": 5},
        EULER | {"invert_sigmas": True},
        EULER | {"use_dynamic_shifting": True},
        EULER | {"stochastic_sampling": True},
    ],
)
def test_other_schedulers_are_refused(copy, told):
    schedule(copy, told)
    with pytest.raises(ValueError, match="has unsupported settings"):
        folders.load_weights(copy)


def test_a_class_that_the_index_does_not_name_is_refused(copy):
    schedule(copy, PUBLISHED)
    (copy / "scheduler/scheduler_config.json").write_text(json.dumps(EULER))
    with pytest.raises(ValueError, match="model_index.json names UniPC"):
        folders.load_weights(copy)

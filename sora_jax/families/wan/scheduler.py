"""Read the solver of a folder in diffusers' layout.

Absent fields have diffusers' defaults. Unsupported values are refused by field, since
they would change the videos.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from etils import epath

from sora_jax import files
from sora_jax.families.wan.layouts import COPY
from sora_jax.workdir import read_json

# Solvers by diffusers' class names.
SOLVERS = {
    "UniPCMultistepScheduler": "unipc",
    "FlowMatchEulerDiscreteScheduler": "euler",
}
# The field of each that holds the shift; without it there is none.
SHIFTS = {"unipc": "flow_shift", "euler": "shift"}
# (diffusers' default, supported values) of each relevant field.
BOTH: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "num_train_timesteps": (1000, (1000,)),
    "use_karras_sigmas": (False, (False, None)),
    "use_exponential_sigmas": (False, (False, None)),
    "use_beta_sigmas": (False, (False, None)),
    "use_dynamic_shifting": (False, (False, None)),
    "shift_terminal": (None, (None,)),
    "sigma_min": (None, (None,)),
    "sigma_max": (None, (None,)),
}
MATTERS: dict[str, dict[str, tuple[Any, tuple[Any, ...]]]] = {
    "unipc": BOTH
    | {
        "prediction_type": ("epsilon", ("flow_prediction",)),
        "use_flow_sigmas": (False, (True,)),
        "solver_order": (2, (2,)),
        # diffusers takes the last three for bh2.
        "solver_type": ("bh2", ("bh2", "midpoint", "heun", "logrho")),
        "predict_x0": (True, (True,)),
        "lower_order_final": (True, (True,)),
        "final_sigmas_type": ("zero", ("zero",)),
        "thresholding": (False, (False, None)),
        "disable_corrector": ([], ([], None)),
        "solver_p": (None, (None,)),
    },
    "euler": BOTH
    | {
        "invert_sigmas": (False, (False, None)),
        "stochastic_sampling": (False, (False, None)),
    },
}
# Fields without effect, given the values above.
IDLE = {
    "unipc": {
        "beta_start",
        "beta_end",
        "beta_schedule",
        "trained_betas",
        "rescale_betas_zero_snr",
        "dynamic_thresholding_ratio",
        "sample_max_value",
        "timestep_spacing",
        "steps_offset",
        "time_shift_type",
    },
    "euler": {
        "base_shift",
        "max_shift",
        "base_image_seq_len",
        "max_image_seq_len",
        "time_shift_type",
    },
}
Shift = Annotated[float, msgspec.Meta(gt=0, le=1e6)]


def scheduling(where: epath.Path, index: Mapping[str, Any]) -> dict[str, Any]:
    """Return solver and shift, if the folder names them.

    Args:
      where: the folder.
      index: its `model_index.json`, which names the scheduler's class.

    Raises:
      ValueError: lists every unsupported field.
    """
    path = where / "scheduler" / "scheduler_config.json"
    if not path.exists():
        return {}
    told = read_json(path, COPY)
    listed = index.get("scheduler")
    own = told.get("_class_name", "UniPCMultistepScheduler")
    named = listed[1] if isinstance(listed, list) and len(listed) == 2 else own
    if not isinstance(named, str) or named not in SOLVERS:
        raise solver_error(
            path,
            [f"its class must be one of {list(SOLVERS)}, got {files.quoted(named)}"],
        )
    solver = SOLVERS[named]
    problems = unsupported_fields(told, solver)
    if "_class_name" in told and own != named:
        problems.insert(
            0, f"_class_name: {files.quoted(own)}, but model_index.json names {named}"
        )
    shift = told.get(SHIFTS[solver], 1.0)
    try:
        shift = msgspec.convert(shift, Shift)
    except msgspec.ValidationError as error:
        problems.append(f"{SHIFTS[solver]}: {error}, got {files.quoted(shift)}")
    if problems:
        raise solver_error(path, problems)
    return {"solver": solver, "shift": shift}


def unsupported_fields(told: Mapping[str, Any], solver: str) -> list[str]:
    """List the fields with values that a solver does not support."""
    matters = MATTERS[solver]
    problems = []
    for name, (default, taken) in matters.items():
        value = told.get(name, default)
        # In Python True == 1, but not in JSON.
        if not any(type(value) is type(x) and value == x for x in taken):
            absent = "" if name in told else " (by default)"
            problems.append(
                f"{name}: {files.quoted(value)}{absent}, where our {solver} does "
                f"{files.quoted(taken[0])}"
            )
    known = {*matters, *IDLE[solver], SHIFTS[solver]}
    problems += [
        f"{files.quoted(name)}: {files.quoted(value)}, whose meaning is not known here"
        for name, value in told.items()
        if name not in known and not name.startswith("_") and value not in (None, False)
    ]
    return problems


def solver_error(path: epath.Path, problems: list[str]) -> ValueError:
    """Return the error that lists problems."""
    return ValueError(
        f"{path} has unsupported settings:\n  "
        + "\n  ".join(problems)
        + "\nchange these fields, or delete that file: without it the model is sampled "
        "as its publishers do"
    )

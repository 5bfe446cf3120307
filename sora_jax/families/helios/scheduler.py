"""Read the levels of noise of a Helios folder in diffusers' layout.

Absent fields have diffusers' defaults. Unsupported values are refused by field, since
they would change the videos.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from etils import epath
from msgspec import Meta

from sora_jax import files
from sora_jax.config import ChunksConfig
from sora_jax.families.wan import json_fields
from sora_jax.families.wan.layouts import COPY
from sora_jax.families.wan.scheduler import solver_error
from sora_jax.workdir import read_json

CLASSES = ("HeliosScheduler", "HeliosDMDScheduler")
# Supported values of the fields that have just one.
FIXED = {
    "num_train_timesteps": 1000,
    "shift": 1.0,
    "prediction_type": "flow_prediction",
    "use_flow_sigmas": True,
    "thresholding": False,
    "solver_order": 2,
    "predict_x0": True,
    "lower_order_final": True,
    "disable_corrector": [],
    "solver_p": None,
}


class Scheduler(msgspec.Struct):
    """`scheduler/scheduler_config.json`."""

    stages: Annotated[int, Meta(ge=1, le=8)] = 3
    stage_range: tuple[float, ...] = ()
    gamma: Annotated[float, Meta(gt=0, le=1 / 3)] = 1 / 3
    scheduler_type: Literal["unipc", "euler"] = "unipc"
    solver_type: Literal["bh2", "midpoint", "heun", "logrho"] = "bh2"
    use_dynamic_shifting: bool = False
    time_shift_type: Literal["linear", "exponential"] | None = None


def scheduling(
    where: epath.Path, *, is_staged: bool
) -> tuple[str, dict[str, Any]] | None:
    """Return the solver and the fields of `ChunksConfig`, if the folder has them.

    Args:
      where: the folder.
      is_staged: whether its pipeline denoises at several resolutions.

    Raises:
      ValueError: lists every unsupported field.
    """
    path = where / "scheduler" / "scheduler_config.json"
    if not path.exists():
        return None
    data = read_json(path, COPY)
    kind = data.get("_class_name")
    told = json_fields.parse_fields("scheduler", data, Scheduler)
    problems = [
        f"{name}: {files.quoted(data[name])}, where ours does {files.quoted(value)}"
        for name, value in FIXED.items()
        if name in data and data[name] != value
    ]
    if kind not in CLASSES:
        problems.append(f"_class_name: {files.quoted(kind)}, not one of {CLASSES}")
    known = {*FIXED, *(field.name for field in msgspec.structs.fields(Scheduler))}
    problems += [
        f"{files.quoted(name)}: {files.quoted(value)}, whose meaning is not known here"
        for name, value in data.items()
        if name not in known and not name.startswith("_") and value not in (None, False)
    ]
    if is_staged != (told.stages > 1):
        wanted = "several" if is_staged else "one"
        problems.append(f"stages: {told.stages}, where the pipeline has {wanted}")
    even = [i / told.stages for i in range(told.stages + 1)]
    uneven = len(told.stage_range) != len(even) or any(
        abs(a - b) > 1e-9 for a, b in zip(even, told.stage_range, strict=True)
    )
    if told.stages > 1 and told.stage_range and uneven:
        problems.append(
            f"stage_range: {files.quoted(told.stage_range)}, where ours does {even}"
        )
    if problems:
        raise solver_error(path, problems)
    return solver_of(str(kind), told), chunk_fields(str(kind), told)


def solver_of(kind: str, told: Scheduler) -> str:
    """Return the solver of a scheduler."""
    return "renoise" if kind == "HeliosDMDScheduler" else told.scheduler_type


def chunk_fields(kind: str, told: Scheduler) -> dict[str, Any]:
    """Return the fields of `ChunksConfig` that a scheduler sets."""
    default = "linear" if kind == "HeliosDMDScheduler" else "exponential"
    grows = told.time_shift_type or default if told.use_dynamic_shifting else "no"
    fields = {"stages": told.stages, "gamma": told.gamma, "grows": grows}
    ChunksConfig(**fields)
    return fields

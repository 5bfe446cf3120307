"""The `plan` command: report the steps of a config on a topology."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from typing import Annotated

import tyro

from sora_jax import cli
from sora_jax.config import SAMPLING_MESH, DiTRun, MeshConfig, ModelConfig
from sora_jax.plan import search
from sora_jax.plan.chips import GIB, Machine, machine
from sora_jax.plan.planner import (
    StepPlan,
    plan_decoding,
    plan_sampling,
    plan_training,
)

NO_PLAN = (
    "--config gives {}, which has no plan: give the config of a DiTRun or of a model, "
    "such as configs/wan21_14b.py"
)
# The unit of work for chip-hours.
PURPOSES = {
    "train": "for a thousand steps",
    "sample": "to denoise a video",
    "decode": "to decode a video",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """Plan a step on a TPU topology.

    Compiles a training step (of a run's config), or a denoising step (of a model's
    config), and reports memory, traffic and time. Each number says whether XLA measured
    it or arithmetic estimates it.
    """

    # KIND:SHAPE, such as v6e:2x4.
    topology: str
    # Number of slices joined by a data-centre network.
    slices: int = 1
    # Mesh for a model's config; a run's config has its own (--config.mesh).
    mesh: MeshConfig = SAMPLING_MESH
    # Try other meshes and remat policies: compile this many of the most promising by
    # arithmetic, and rank those that fit.
    search: int = 0
    # Print one JSON object with a plan for each step.
    as_json: Annotated[
        bool, tyro.conf.arg(name="json"), tyro.conf.FlagCreatePairsOff
    ] = False


def main(argv: list[str]) -> None:
    """Plan and print.

    Raises:
      ValueError: the config has no plan, or XLA does not know the topology.
    """
    config, options = cli.parse_beside_config(argv, PlanOptions)
    if options.search and options.slices > 1:
        raise ValueError(
            f"--search knows one slice, got --slices {options.slices}: search on one, "
            "then set mesh.data_slices"
        )
    if options.slices < 1 or options.search < 0:
        raise ValueError(
            f"--slices must be >= 1 and --search >= 0, got {options.slices} and "
            f"{options.search}"
        )
    if options.mesh != SAMPLING_MESH and isinstance(config, DiTRun):
        raise ValueError(
            f"--mesh {options.mesh} is for models: a run has one of its own, "
            "--config.mesh"
        )
    if not isinstance(config, DiTRun | ModelConfig):
        raise ValueError(NO_PLAN.format(type(config).__name__))
    where = machine(options.topology, options.slices)
    print(f"compiling for {where.name}: one to four minutes a step", file=sys.stderr)
    plans = []
    if options.search:
        plans = search.plan_likeliest(config, where, options.search)
    else:
        for one in plan_steps(config, options.mesh, where):
            plans.append(one)
            if not options.as_json:
                print(format_plan(one), end="\n\n", flush=True)
    if options.as_json:
        found: dict[str, list] = {}
        for one in plans:
            found.setdefault(one.step, []).append(dataclasses.asdict(one))
        first = {step: ranked[0] for step, ranked in found.items()}
        others = {"others": [p for r in found.values() for p in r[1:]]}
        print(json.dumps({**first, **(others if options.search else {})}))
        return
    if options.search:
        print("\n\n".join(format_plan(one) for one in plans))
    elif not plans[0].fits:  # that of training, or of denoising
        print(search.nearest(config, where))


def plan_steps(
    config: DiTRun | ModelConfig, mesh: MeshConfig, where: Machine
) -> Iterator[StepPlan]:
    """Plan the steps of what a config describes, one after another."""
    if isinstance(config, DiTRun):
        yield plan_training(config, where)
        return
    yield plan_sampling(config, mesh, where)
    yield plan_decoding(config, mesh, where)


def format_plan(found: StepPlan) -> str:
    """Format a plan as text."""
    chips = "chip" if found.chips == 1 else "chips"
    mesh = " x ".join(f"{name} {size}" for name, size in found.mesh.items() if size > 1)
    held = ", ".join(f"{k} {v / GIB:.2f}" for k, v in found.held_bytes.items())
    held = held or "nothing"
    sent = ", ".join(
        f"{k} {v / GIB:.2f}" for k, v in sorted(found.collective_bytes.items())
    )
    bounds = ", ".join(f"{k} {v:.3g}" for k, v in found.bounds_s.items())
    per = PURPOSES[found.step]
    peak = "unknown"
    if found.peak_hbm_bytes is not None:
        peak = f"{found.peak_hbm_bytes / GIB:.2f}"
    verdict = "fits" if found.fits else "does not fit"
    return "\n".join(
        [
            f"{found.step} on {found.machine}: {found.chips} {chips}, mesh "
            f"{mesh or 'of one device'}, remat {found.remat}",
            f"memory of a device (XLA): {peak} of "
            f"{found.hbm_bytes / GIB:.2f} GiB: {verdict}",
            f"  held between steps (shapes), GiB: {held}",
            *(
                [f"sent by a device (compiled program), GiB: {sent or 'nothing'}"]
                if found.fits
                else []
            ),
            f"model FLOPs of a step (arithmetic): {found.model_flops:.3e}",
            f"least seconds of a step (arithmetic, with XLA's traffic): {bounds}",
            *(
                [
                    f"model FLOPs utilisation that they allow: {found.mfu_bound:.0%} "
                    f"(if heads filled the matrix unit: {found.mfu_bound_nominal:.0%})",
                    *(
                        [f"frames a second, at most: {found.frames_per_s:.3g}"]
                        if found.frames_per_s is not None
                        else []
                    ),
                    f"chip-hours {per}: {found.chip_hours:.3g}",
                ]
                if found.mfu_bound is not None
                else []
            ),
            f"compiled in {found.compile_s:.0f} s",
        ]
    )

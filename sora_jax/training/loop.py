"""The training loop: data, steps, reports and checkpoints.

A `TrainSetup` describes what is trained. The metrics of a step are read after the next
step was dispatched, so that the device never waits for the host.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax

from sora_jax import sharding
from sora_jax.checkpoint import Checkpoints
from sora_jax.config import RunConfig, to_json, updated_config
from sora_jax.locking import Lock, only_run
from sora_jax.parameter_trees import Params
from sora_jax.sharding import MeshPlan
from sora_jax.training import preemption
from sora_jax.training.flops import count_chips, peak_flops
from sora_jax.training.program import TrainProgram
from sora_jax.training.report import Media, Report
from sora_jax.training.state import TrainState
from sora_jax.training.step import jitted_train_step
from sora_jax.workdir import check_shared, keep_config, refuse_other_config

# Fields that may change when a run continues.
MAY_DIFFER = ("log_every", "eval_every", "checkpoint_every", "keep", "mesh", "rules")
MAY_DIFFER += (
    "cpu_matmul_dtype",
    "workers",
    "dit.attention",
    "dit.remat",
    "dit.unroll",
    "text.unroll",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainSetup:
    """The inputs of the training loop.

    Attributes:
      program: the compiled program.
      frozen: parameters that are not trained.
      data: first step -> iterator of host batches. Batches depend on their step alone,
        so a run continues on other numbers of hosts and of workers.
      evaluate: state -> scalars and media; called by every host.
      work: model FLOPs (no recompute), tokens and clips of one step.
      sources: hashes of the inputs that must not change during a run.
    """

    program: TrainProgram
    data: Callable[[int], Iterator[Any]]
    evaluate: Callable[[TrainState], tuple[dict[str, float], dict[str, Media]]]
    work: dict[str, float]
    frozen: Params = dataclasses.field(default_factory=dict)
    sources: dict[str, str] = dataclasses.field(default_factory=dict)


def train(
    config: RunConfig, workdir: str, set_up: Callable[[MeshPlan], TrainSetup]
) -> TrainState:
    """Train to the end, continuing from the workdir's newest checkpoint.

    Raises:
      ValueError: the workdir belongs to a run with another config.
      FloatingPointError: loss or gradient are NaN or infinite.
      KeyboardInterrupt: the run was preempted; its last step is saved.
      OSError: the disk is full, or another run has taken over the workdir.
    """
    check_shared(workdir)
    with only_run(workdir, jax.process_index() == 0) as lock:
        update = partial(updated_config, type(config))
        refuse_other_config(workdir, to_json(config), MAY_DIFFER, update=update)
        return run(config, workdir, set_up, lock)


def run(
    config: RunConfig,
    workdir: str,
    set_up: Callable[[MeshPlan], TrainSetup],
    lock: Lock,
) -> TrainState:
    """Run the remaining steps while holding the workdir's lock; see `train`."""
    # --- mesh, then a state born on it, or restored to it -----------------------------
    mesh = sharding.make_mesh(dataclasses.asdict(config.mesh), heads=config.heads)
    mesh_plan = MeshPlan(mesh, config.rules)
    with contextlib.ExitStack() as stack:
        setup = set_up(mesh_plan)
        program = setup.program
        is_preempted = stack.enter_context(preemption.listening(lock.is_lost))
        checkpoints = stack.enter_context(Checkpoints(workdir, config.keep))
        restored = checkpoints.restore_latest(as_dict(program.state.abstract))
        if restored is None:
            state = program.state.initialize()
        else:
            refuse_other_sources(
                workdir, restored.metadata.get("sources"), setup.sources
            )
            state = TrainState(**restored.state)
        keep_config(workdir, to_json(config))
        report = stack.enter_context(Report(workdir, config))
        first = int(state.step)
        data = setup.data(first)
        stack.callback(getattr(data, "close", lambda: None))
        chips = count_chips(mesh_plan)
        report.start(first, setup.work, peak_flops(mesh_plan), chips)
        step_fn = jitted_train_step(
            program.loss,
            program.optimization,
            config.seed,
            mesh_plan.platform,
            config.cpu_matmul_dtype,
        )

        def is_due(step: int, every: int) -> bool:
            return step == config.steps or step % every == 0

        def evaluate(state: TrainState, step: int) -> None:
            started = time.perf_counter()
            report.evaluation(step, *setup.evaluate(state))
            report.pause(time.perf_counter() - started)

        # The run may have stopped between a save and the evaluation of its step.
        if first and is_due(first, config.eval_every):
            if not sharding.from_first_host(
                jax.process_index() == 0 and report.has(first)
            ):
                evaluate(state, first)

        # --- the loop: dispatch a step, then read the one before ----------------------
        pending = None
        for step in range(first + 1, config.steps + 1):
            batch = sharding.to_device(next(data), mesh_plan)
            state, metrics = step_fn(state, setup.frozen, batch)
            if pending is not None:
                read_metrics(report, *pending)
            pending = (step, metrics)
            is_ending = is_preempted()
            saves = is_ending or is_due(step, config.checkpoint_every)
            evaluates = not is_ending and is_due(step, config.eval_every)
            if saves or evaluates:
                read_metrics(report, *pending)
                pending = None
            # Save first: a failing evaluation must not lose steps.
            if saves:
                with sharding.fail_together():
                    lock.check()
                about = {"config": to_json(config), "sources": setup.sources}
                checkpoints.save(step, as_dict(state), metadata=about)
            if is_ending:
                raise KeyboardInterrupt
            if evaluates:
                evaluate(state, step)
        return state


def refuse_other_sources(
    workdir: str, before: dict[str, str] | None, now: dict[str, str]
) -> None:
    """Refuse to continue with other inputs than at the start of the run."""
    changed = [name for name in now if before and before.get(name) != now[name]]
    if changed:
        raise ValueError(
            f"--workdir {workdir!r} was trained on another {' and '.join(changed)}: "
            "give another --workdir, or put the former files back"
        )


def read_metrics(report: Report, step: int, metrics: dict[str, jax.Array]) -> None:
    """Fetch and report a step's metrics; raise if loss or gradient is not finite."""
    values = {name: float(value) for name, value in jax.device_get(metrics).items()}
    if not (math.isfinite(values["loss"]) and math.isfinite(values["grad_norm"])):
        raise FloatingPointError(
            f"loss is {values['loss']} at step {step} (grad_norm "
            f"{values['grad_norm']}): lower --config.optim.lr (or raise "
            "--config.optim.warmup) and start the same command again in another "
            "workdir; the last checkpoint of this one is from before"
        )
    report.step(step, values)


def as_dict(state: TrainState) -> dict[str, Any]:
    """Return the state by name, as in checkpoints."""
    return {f.name: getattr(state, f.name) for f in dataclasses.fields(state)}

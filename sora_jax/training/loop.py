"""The corridor of every training run: data in, steps, then reports and checkpoints.

A `Job` says what is trained; the loop says how. Metrics of a step are read after the
next one has been dispatched, so that the device never waits for the host.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.sharding import Mesh

from sora_jax import sharding
from sora_jax.checkpoint import Checkpoints
from sora_jax.config import RunConfig, to_json
from sora_jax.locking import Lock, only_run
from sora_jax.training import preemption
from sora_jax.training import state as states
from sora_jax.training.flops import peak_flops
from sora_jax.training.report import Media, Report
from sora_jax.training.state import TrainState
from sora_jax.workdir import check_shared, keep_config, refuse_other_config

# What may change between the parts of one run without making it another run.
MAY_DIFFER = ("log_every", "eval_every", "checkpoint_every", "keep", "mesh", "rules")
MAY_DIFFER += (
    "cpu_matmul_dtype",
    "dit.attention",
    "dit.remat",
    "dit.unroll",
    "text.unroll",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """What is trained.

    Attributes:
      blueprint: the state that is to be made or restored.
      loss: see `training.state.Loss`.
      optimization: optimizer and average.
      data: makes a fresh Grain iterator of host batches.
      evaluate: state -> scalars and media; called by every host.
      work: model FLOPs (no recompute), tokens and clips of one step.
      sources: a hash of each input that must stay the same while a run lasts.
      frozen: parameters that the loss reads and nothing moves.
    """

    blueprint: states.Blueprint
    loss: states.Loss
    optimization: states.Optimization
    data: Callable[[], Iterator[Any]]
    evaluate: Callable[[TrainState], tuple[dict[str, float], dict[str, Media]]]
    work: dict[str, float]
    sources: dict[str, str] = dataclasses.field(default_factory=dict)
    frozen: tuple[states.Params, ...] = ()


def train(
    config: RunConfig, workdir: str, make_job: Callable[[Mesh], Job]
) -> TrainState:
    """Run a job to its end, continuing from the workdir's newest checkpoint.

    Raises:
      ValueError: the workdir belongs to a run with another config.
      FloatingPointError: loss or gradient are no longer numbers.
      KeyboardInterrupt: someone asked to leave; the last step is saved.
      OSError: there is no room to save, or another run has taken the workdir over.
    """
    defaults = to_json(type(config)())
    check_shared(workdir)
    with only_run(workdir, jax.process_index() == 0) as lock:
        refuse_other_config(workdir, to_json(config), MAY_DIFFER, defaults)
        return run(config, workdir, make_job, lock)


def run(
    config: RunConfig, workdir: str, make_job: Callable[[Mesh], Job], lock: Lock
) -> TrainState:
    """Make what is left of a run, alone in its workdir; see `train`."""
    # --- mesh, then a state born on it, or restored to it -----------------------------
    mesh = sharding.make_mesh(dataclasses.asdict(config.mesh), heads=config.heads)
    with sharding.use(mesh, config.rules), contextlib.ExitStack() as stack:
        job = make_job(mesh)
        data = job.data()
        asked_to_leave = stack.enter_context(preemption.listening(lock.is_lost))
        checkpoints = stack.enter_context(Checkpoints(workdir, config.keep))
        restored = checkpoints.restore_latest(as_dict(job.blueprint.abstract), data)
        if restored is None:
            state = job.blueprint.initial()
        else:
            refuse_other_sources(workdir, restored.metadata.get("sources"), job.sources)
            state = TrainState(**restored.state)
        keep_config(workdir, to_json(config))
        report = stack.enter_context(Report(workdir, config))
        first = int(state.step)
        report.start(first, job.work, peak_flops())
        step_fn = states.jitted_update(
            job.loss, job.optimization, config.seed, config.cpu_matmul_dtype
        )

        def is_due(step: int, every: int) -> bool:
            return step == config.steps or step % every == 0

        def evaluate(state: TrainState, step: int) -> None:
            started = time.perf_counter()
            report.evaluation(step, *job.evaluate(state))
            report.pause(time.perf_counter() - started)

        # A run may have been killed between a save and the evaluation of its step.
        if first and is_due(first, config.eval_every):
            if not sharding.from_first_host(
                jax.process_index() == 0 and report.has(first)
            ):
                evaluate(state, first)

        # --- the loop: dispatch a step, then read the one before ----------------------
        pending = None
        for step in range(first + 1, config.steps + 1):
            batch = sharding.to_device(next(data), mesh)
            state, metrics = step_fn(state, batch, *job.frozen)
            if pending is not None:
                read(report, *pending)
            pending = (step, metrics)
            is_leaving = asked_to_leave()
            saves = is_leaving or is_due(step, config.checkpoint_every)
            evaluates = not is_leaving and is_due(step, config.eval_every)
            if saves or evaluates:
                read(report, *pending)
                pending = None
            # First the save: an evaluation that fails must not lose the steps.
            if saves:
                with sharding.fail_together():
                    lock.check()
                about = {"config": to_json(config), "sources": job.sources}
                checkpoints.save(step, as_dict(state), data, about)
            if is_leaving:
                raise KeyboardInterrupt
            if evaluates:
                evaluate(state, step)
        return state


def refuse_other_sources(
    workdir: str, before: dict[str, str] | None, now: dict[str, str]
) -> None:
    """Refuse to continue on other inputs than those that the run began with."""
    changed = [name for name in now if before and before.get(name) != now[name]]
    if changed:
        raise ValueError(
            f"--workdir {workdir!r} was trained on another {' and '.join(changed)}: "
            "give another --workdir, or put the former files back"
        )


def read(report: Report, step: int, metrics: dict[str, jax.Array]) -> None:
    """Fetch a step's metrics; stop the run when loss or gradient are no numbers."""
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
    """The state by name, as checkpoints keep it."""
    return {f.name: getattr(state, f.name) for f in dataclasses.fields(state)}

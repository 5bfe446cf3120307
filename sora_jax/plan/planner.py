"""Compile a step for a machine; report memory, traffic and time."""

from __future__ import annotations

import dataclasses
import re
import time
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh
from jax.stages import Lowered

from sora_jax import sharding
from sora_jax.compiling import options
from sora_jax.config import (
    RULES,
    DiTRun,
    MeshConfig,
    ModelConfig,
    resolve_dtypes,
)
from sora_jax.plan import collectives, programs, traffic, work
from sora_jax.plan.arguments import window_of
from sora_jax.plan.chips import GIB, Machine
from sora_jax.sampling import codec
from sora_jax.sampling.request import Request
from sora_jax.sharding import MeshPlan

UNITS = {"G": GIB, "M": 2**20}


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepPlan:
    """Memory, traffic and time of a step; bytes are per device (some chips are two).

    Attributes:
      step: "train", "sample" (of denoising) or "decode" (of a chunk of frames).
      machine: the topology.
      chips: number of chips.
      mesh: devices along each axis.
      remat: the remat policy.
      fits: whether it compiled: XLA refuses programs that do not fit.
      hbm_bytes: memory of a device for programs.
      peak_hbm_bytes: measured by XLA.
      held_bytes: parameters, optimizer and average; measured by shapes.
      model_flops: of a step, over all chips; computed.
      collective_bytes: bytes that a device sends, by kind; parsed from the program.
      bounds_s: lower bounds of the step time; computed from XLA's figures for memory,
        links (ici) and, with several slices, the network (dcn). The nominal compute
        bound includes recomputation and attention kernels; the other one also how far
        heads fill the matrix unit.
      mfu_bound: upper bound of the MFU; None if the program does not fit.
      mfu_bound_nominal: the same, if heads filled the matrix unit.
      frames_per_s: of video that denoising, or decoding, can make at the largest bound.
      chip_hours: for a thousand steps, or to denoise or decode a video, at the largest
        bound.
      compile_s: how long compiling took.
    """

    step: str
    machine: str
    chips: int
    mesh: dict[str, int]
    remat: str
    fits: bool
    hbm_bytes: float
    peak_hbm_bytes: float | None
    held_bytes: dict[str, float]
    model_flops: float
    collective_bytes: dict[str, float]
    bounds_s: dict[str, float]
    mfu_bound: float | None
    mfu_bound_nominal: float | None
    frames_per_s: float | None
    chip_hours: float | None
    compile_s: float


def plan_training(config: DiTRun, machine: Machine) -> StepPlan:
    """Plan the training step of a run."""
    mesh = mesh_of(config.mesh, machine, config.heads)
    mesh_plan = MeshPlan(mesh, config.rules)
    lowered = programs.lower_train_step(config, mesh_plan)
    held = training_state_bytes(config, mesh_plan)
    done = work.of_training(config)
    step = LoweredStep("train", lowered, done, config.dit.head_dim, held, 1000)
    return compile_and_measure(step, machine, mesh, config.dit.remat)


def plan_sampling(
    config: ModelConfig, mesh_config: MeshConfig, machine: Machine
) -> StepPlan:
    """Plan the denoising step of a video of the model's default frames and size."""
    mesh = mesh_of(mesh_config, machine, config.dit.heads)
    mesh_plan = MeshPlan(mesh, RULES)
    lowered = programs.lower_sample_step(config, mesh_plan)
    _, params = programs.network_of(config, mesh_plan)
    held = {"parameters": shard_bytes(params)}
    _, remembered, _ = window_of(config)
    if remembered:
        rows = 2 if config.sampling.guides(two=False) else 1
        resolved = resolve_dtypes(config.dit, mesh_plan.platform)
        cache = programs.cache_of(resolved, rows, remembered, mesh_plan)
        held["keys and values"] = shard_bytes(cache)
    done, steps, frames = work.of_sampling(config), *steps_of(config)
    step = LoweredStep(
        "sample", lowered, done, config.dit.head_dim, held, steps, frames
    )
    return compile_and_measure(step, machine, mesh)


def steps_of(config: ModelConfig) -> tuple[int, int]:
    """Return the steps of a video, and the frames that they make.

    Of a causal model: those of one block, and one more that writes it into the cache.
    """
    settings = config.sampling
    if config.chunks is not None:  # steps of the finest stage
        chunks = Request(prompts=("",), settings=settings).chunk_count(config)
        return settings.steps * chunks, settings.frames
    if config.causal is None:
        return settings.steps, settings.frames
    return settings.steps + 1, config.causal.block * config.vae.time_factor


def plan_decoding(
    config: ModelConfig, mesh_config: MeshConfig, machine: Machine
) -> StepPlan:
    """Plan the decoding of a chunk of that video."""
    mesh_plan = MeshPlan(mesh_of(mesh_config, machine, config.dit.heads), RULES)
    settings = config.sampling
    lowered = programs.lower_decode_step(config, mesh_plan)
    done = work.of_decoding(config)
    mesh = codec.frame_mesh_plan(config.vae, settings.size, mesh_plan).mesh
    assert mesh is not None
    frames = settings.frames - 1
    chunks = (
        frames
        / config.vae.time_factor
        / codec.frames_at_once(config.vae, settings.size)
    )
    # A decoder's matmuls nearly fill the matrix unit.
    step = LoweredStep(
        "decode", lowered, done, machine.chip.matrix_side, {}, chunks, frames
    )
    return compile_and_measure(step, machine, mesh, same=mesh.shape["copy"])


def mesh_of(config: MeshConfig, machine: Machine, heads: int) -> Mesh:
    """Arrange a machine's devices in the mesh of a config."""
    return sharding.make_mesh(dataclasses.asdict(config), machine.devices, heads)


def training_state_bytes(config: DiTRun, mesh_plan: MeshPlan) -> dict[str, float]:
    """Return the bytes per device of the training state, by part."""
    program = programs.dit.train_program(config, mesh_plan)
    state = program.state.abstract
    frozen = {"frozen": shard_bytes(program.frozen)} if program.frozen else {}
    return {
        **frozen,
        "parameters": shard_bytes(state.params),
        "average": shard_bytes(state.ema),
        "optimizer": shard_bytes(state.opt_state),
    }


def shard_bytes(tree: Any) -> float:
    """Return the bytes of arrays per device."""
    total = 0
    for leaf in jax.tree.leaves(tree):
        size = leaf.dtype.itemsize
        for side in leaf.sharding.shard_shape(leaf.shape):
            size *= side
        total += size
    return float(total)


class LoweredStep(NamedTuple):
    """A lowered step.

    Attributes:
      name: "train", "sample" or "decode".
      lowered: its program.
      done: its FLOPs.
      head_dim: channels of an attention head.
      held: bytes that a device holds between steps.
      repeats: steps in the unit of work for chip-hours.
      frames: of video that these steps make.
    """

    name: str
    lowered: Lowered
    done: work.Work
    head_dim: int
    held: dict[str, float]
    repeats: float
    frames: int = 0


def compile_and_measure(
    step: LoweredStep, machine: Machine, mesh: Mesh, remat: str = "none", same: int = 1
) -> StepPlan:
    """Compile a step and compute its plan.

    Args:
      step: the lowered step.
      machine: the target.
      mesh: of its devices.
      remat: policy.
      same: number of devices with identical work.
    """
    done = step.done
    chip, started = machine.chip, time.perf_counter()
    room, platform = chip.hbm_bytes / chip.devices, machine.devices[0].platform
    text, fits = "", True
    peak: float | None = None
    try:
        compiled = step.lowered.compile(compiler_options=options(platform))
    except Exception as error:  # XLA's own, of a type that is not public
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        fits, peak = False, needed(str(error))
    else:
        memory: Any = compiled.memory_analysis()
        peak = float(memory.peak_memory_in_bytes)
        text = compiled.as_text()
    took = time.perf_counter() - started
    sent = collectives.by_kind(collectives.of_program(text)) if text else {}
    moved = traffic.moved_bytes(text) if text else 0.0
    ideal = done.model / (chip.flops * machine.chips)
    bounds = {
        "compute_nominal": same * done.seconds(chip, machine.chips),
        "compute": same * done.seconds(chip, machine.chips, step.head_dim),
    }
    if fits:
        bounds["hbm"] = moved * chip.devices / chip.hbm_rate
        across = sent.get(collectives.NETWORK, 0.0)
        within = sum(sent.values()) - across
        bounds["ici"] = within * chip.devices / chip.link_rate
        if across:
            bounds["dcn"] = across * chip.devices / chip.network_rate
    slowest = max(bounds.values())
    nominal = [bound for name, bound in bounds.items() if name != "compute"]
    return StepPlan(
        step=step.name,
        machine=machine.name,
        chips=machine.chips,
        mesh={name: mesh.shape[name] for name in mesh.axis_names},
        remat=remat,
        fits=fits,
        hbm_bytes=room,
        peak_hbm_bytes=peak,
        held_bytes=step.held,
        model_flops=done.model,
        collective_bytes=sent,
        bounds_s=bounds,
        mfu_bound=ideal / slowest if fits else None,
        mfu_bound_nominal=ideal / max(nominal) if fits else None,
        frames_per_s=(
            step.frames / (step.repeats * slowest) if fits and step.frames else None
        ),
        chip_hours=step.repeats * slowest * machine.chips / 3600 if fits else None,
        compile_s=took,
    )


def needed(message: str) -> float | None:
    """Parse the bytes that a program needs from the compiler's error."""
    found = re.search(r"required \(([\d.]+)([GM])\)|Used ([\d.]+)([GM])", message)
    if found is None:
        return None
    number, unit = found.groups()[:2] if found[1] else found.groups()[2:]
    return float(number) * UNITS[unit]

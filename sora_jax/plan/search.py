"""Rank meshes and remat policies by arithmetic, before compiling any.

Compiling a step takes a minute or two, so only the most promising are compiled.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import jax
import numpy as np
from flax import nnx

from sora_jax.config import DiTConfig, DiTRun, MeshConfig, ModelConfig
from sora_jax.data.patches import grid_of
from sora_jax.models.dit import DiT
from sora_jax.plan import work
from sora_jax.plan.chips import GIB, Machine
from sora_jax.plan.planner import StepPlan, plan_sampling, plan_training
from sora_jax.sampling.request import Request

Remat = Literal["none", "attention", "full"]
POLICIES: tuple[Remat, ...] = ("none", "attention", "full")
STATE = 20  # bytes per parameter: itself, its average, two moments and its gradient
HALF = 2  # bytes per activation


class Choice(NamedTuple):
    """A mesh and remat policy, with estimates per device.

    Attributes:
      mesh: of the devices.
      remat: policy.
      bytes: of memory.
      seconds: the larger of computing and sending.
      sent: bytes.
    """

    mesh: MeshConfig
    remat: Remat
    bytes: float
    seconds: float
    sent: float


class Workload(NamedTuple):
    """A step to distribute over devices.

    Attributes:
      config: of the transformer.
      parameters: their number.
      rows: of tokens.
      n: tokens of a row.
      policy: of remat; None for denoising.
      compute: lower bound in seconds.
    """

    config: DiTConfig
    parameters: int
    rows: int
    n: int
    policy: Remat | None
    compute: float


def plan_likeliest(
    config: DiTRun | ModelConfig, machine: Machine, most: int
) -> list[StepPlan]:
    """Compile the most promising choices; return the fastest that fit first."""
    plans = []
    for choice in likely(config, machine)[:most]:
        if isinstance(config, DiTRun):
            model = dataclasses.replace(config.dit, remat=choice.remat)
            run = dataclasses.replace(config, dit=model, mesh=choice.mesh)
            plans.append(plan_training(run, machine))
        else:
            plans.append(plan_sampling(config, choice.mesh, machine))
    return sorted(plans, key=lambda one: (not one.fits, max(one.bounds_s.values())))


def nearest(config: DiTRun | ModelConfig, machine: Machine) -> str:
    """Suggest a choice that might fit, by arithmetic."""
    room = machine.chip.hbm_bytes / machine.chip.devices
    best = likely(config, machine)[0]
    sizes = dataclasses.asdict(best.mesh).items()
    mesh = " ".join(f"{name}={size}" for name, size in sizes if size > 1)
    takes = f"about {best.bytes / GIB:.1f} of {room / GIB:.1f} GiB"
    if best.bytes > room:
        return (
            f"no mesh of these chips fits, by arithmetic; the least is {takes}, with "
            f"{mesh}, remat {best.remat}: plan for more chips or fewer rows"
        )
    return (
        f"by arithmetic this would fit: {mesh}, remat {best.remat}, {takes}; "
        "--search 3 compiles the likeliest three"
    )


def likely(config: DiTRun | ModelConfig, machine: Machine) -> list[Choice]:
    """Return the choices for a config, the most promising first."""
    if isinstance(config, DiTRun):
        return for_training(config, machine)
    return for_sampling(config, machine)


def for_training(config: DiTRun, machine: Machine) -> list[Choice]:
    """Return the choices for a training step: those that fit, fastest first."""
    rows, n = config.packing.rows, config.packing.tokens
    once, count = work.of_training(config), count_parameters(config.dit)
    found = []
    for policy in POLICIES:
        done = work.with_remat(once.model, once.attention, policy)
        compute = done.seconds(machine.chip, machine.chips, config.dit.head_dim)
        task = Workload(config.dit, count, rows, n, policy, compute)
        shared = mesh_shapes(config.dit, rows, n, len(machine.devices))
        found += [estimate(task, shape, machine) for shape in shared]
    return rank_choices(found, machine)


def for_sampling(config: ModelConfig, machine: Machine) -> list[Choice]:
    """Return the choices for a denoising step: those that fit, fastest first."""
    settings = config.sampling
    request = Request(prompts=("",), settings=settings)
    n = int(np.prod(grid_of(request.latent_shape(config), config.dit.patch)))
    rows = 2 if settings.guides(config.boundary is not None) else 1
    compute = work.of_sampling(config).seconds(
        machine.chip, machine.chips, config.dit.head_dim
    )
    task = Workload(config.dit, count_parameters(config.dit), rows, n, None, compute)
    shared = mesh_shapes(config.dit, rows, None, len(machine.devices))
    return rank_choices([estimate(task, shape, machine) for shape in shared], machine)


def mesh_shapes(
    config: DiTConfig, rows: int, n: int | None, devices: int
) -> Iterator[dict[str, int]]:
    """Yield meshes that divide rows, tokens (unless padded), heads and widths."""
    divisors = [size for size in range(1, devices + 1) if devices % size == 0]
    for data, fsdp, tensor in itertools.product(divisors, repeat=3):
        context, left = divmod(devices, data * fsdp * tensor)
        if left or context < 1 or rows % (data * fsdp):
            continue
        if n is not None and n % context:
            continue
        stored = fsdp * context
        if config.width % stored or config.heads % tensor or config.mlp % tensor:
            continue
        yield {"data": data, "fsdp": fsdp, "context": context, "tensor": tensor}


def estimate(task: Workload, shape: dict[str, int], machine: Machine) -> Choice:
    """Estimate bytes and seconds of a device."""
    sent = bytes_sent(task, **shape)
    links = sent * machine.chip.devices / machine.chip.link_rate
    return Choice(
        mesh=MeshConfig(**shape),
        remat=task.policy or "none",
        bytes=bytes_held(task, **shape),
        seconds=max(task.compute, links),
        sent=sent,
    )


def activations(task: Workload, data: int, fsdp: int, context: int) -> float:
    """Return the number of a device's activations between two layers."""
    return math.ceil(task.n / context) * task.rows / (data * fsdp) * task.config.width


def bytes_held(
    task: Workload, data: int, fsdp: int, context: int, tensor: int
) -> float:
    """Sum state, gathered parameters of two layers, saved and live activations."""
    config, held = task.config, task.parameters / tensor
    wide = activations(task, data, fsdp, context)
    layer = HALF * wide * (12 + (4 + 3 * config.mlp / config.width) / tensor)
    saved = {
        None: 0.0,
        "full": 4 * wide,
        "attention": 4 * wide + HALF * wide / tensor,
        "none": layer,
    }[task.policy]
    stored = held / (fsdp * context) * (STATE if task.policy else HALF)
    gathered = 2 * HALF * held / config.depth
    return stored + gathered + config.depth * saved + 2 * layer


def bytes_sent(
    task: Workload, data: int, fsdp: int, context: int, tensor: int
) -> float:
    """Sum gathered parameters of each pass and the layers' exchange of tokens."""
    config, held = task.config, task.parameters / tensor
    shares = fsdp * context
    # Forward, backward, and once more for the gradients, which are added up.
    sent = (3 if task.policy else 1) * HALF * held * (1 - 1 / shares)
    if task.policy:
        sent += 2 * HALF * held / shares * (1 - 1 / data)
    ulysses = math.gcd(context, config.heads // tensor)
    wide = HALF * activations(task, data, fsdp, context)
    traded = 4 * wide / tensor * (1 - 1 / ulysses)
    passed_on = 2 * wide / tensor * (context // ulysses - 1)
    added_up = 6 * wide * (1 - 1 / tensor)  # three all-reduces, each sent twice
    # Backward about twice as much, and forward once more.
    passes = {None: 1, "none": 3}.get(task.policy, 4)
    return sent + passes * config.depth * (traded + passed_on + added_up)


def count_parameters(config: DiTConfig) -> int:
    """Count the parameters of a transformer."""
    module = nnx.eval_shape(lambda: DiT(config, rngs=nnx.Rngs(0)))
    return sum(x.size for x in jax.tree.leaves(nnx.state(module)))


def rank_choices(found: list[Choice], machine: Machine) -> list[Choice]:
    """Sort choices: those that may fit by time, then the others by memory.

    Raises:
      ValueError: there are no choices.
    """
    if not found:
        raise ValueError(
            f"no mesh of the {len(machine.devices)} devices of {machine.name} divides "
            "rows, tokens, heads and widths: change packing.rows or packing.tokens, or "
            "take another --topology"
        )
    room = machine.chip.hbm_bytes / machine.chip.devices
    fitting = [one for one in found if one.bytes <= room]
    others = [one for one in found if one.bytes > room]
    return sorted(fitting, key=lambda one: (one.seconds, one.sent, one.bytes)) + sorted(
        others, key=lambda one: one.bytes
    )

"""Which meshes and remat policies are worth compiling: by arithmetic alone.

Compiling a step takes a minute or two. Here every way to share it is put in order by
what it would take, roughly, so that few need to be compiled.
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
from sora_jax.plan.chips import Machine
from sora_jax.sampling.request import Request

Remat = Literal["none", "full", "attention", "dots"]
POLICIES: tuple[Remat, ...] = ("none", "attention", "full")
STATE = 20  # bytes of a parameter, its average, two moments and its gradient
HALF = 2  # bytes of what is computed


class Choice(NamedTuple):
    """A way to share a step, and about what a device takes for it.

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


def for_training(config: DiTRun, machine: Machine) -> list[Choice]:
    """Ways to share a step of training: those that fit first, then the fastest."""
    rows, n = config.packing.rows, config.packing.tokens
    done = {
        policy: work.of_training(with_remat(config, policy)) for policy in POLICIES
    }
    found = []
    for shape in shapes(config.dit, rows, n, len(machine.devices)):
        for policy in POLICIES:
            compute = done[policy].seconds(
                machine.chip, machine.chips, config.dit.head_dim
            )
            found.append(weighed(config.dit, rows, n, shape, policy, compute, machine))
    return ranked(found, machine)


def for_sampling(config: ModelConfig, machine: Machine) -> list[Choice]:
    """Ways to share a step of denoising, likewise."""
    settings = config.sampling
    request = Request(prompts=("",), settings=settings)
    n = int(np.prod(grid_of(request.latent_shape(config), config.dit.patch)))
    rows = 2 if settings.guides(config.boundary is not None) else 1
    compute = work.of_sampling(config).seconds(
        machine.chip, machine.chips, config.dit.head_dim
    )
    found = [
        weighed(config.dit, rows, n, shape, None, compute, machine)
        for shape in shapes(config.dit, rows, None, len(machine.devices))
    ]
    return ranked(found, machine)


def with_remat(config: DiTRun, policy: Remat) -> DiTRun:
    """A run that computes again what a policy says."""
    return dataclasses.replace(
        config, dit=dataclasses.replace(config.dit, remat=policy)
    )


def shapes(
    config: DiTConfig, rows: int, n: int | None, devices: int
) -> Iterator[dict[str, int]]:
    """Meshes that divide rows, tokens (unless they are padded), heads and widths."""
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


def weighed(
    config: DiTConfig,
    rows: int,
    n: int,
    shape: dict[str, int],
    policy: Remat | None,
    compute: float,
    machine: Machine,
) -> Choice:
    """About what a device takes: without a policy, to denoise."""
    data, fsdp, context, tensor = shape.values()
    held = parameters(config) / tensor
    tokens = math.ceil(n / context) * rows / (data * fsdp)
    is_training = policy is not None
    wide, long = tokens * config.width, tokens * config.mlp / tensor
    layer = HALF * (12 * wide + 4 * wide / tensor + 3 * long)
    saved = {
        None: 0.0,
        "full": 4 * wide,
        "attention": 4 * wide + HALF * wide / tensor,
        "none": layer,
        "dots": layer,
    }[policy]
    stored = held / (fsdp * context)
    memory = stored * (STATE if is_training else HALF)
    memory += 2 * HALF * held / config.depth + config.depth * saved + 2 * layer
    # Parameters are gathered, forward and backward, and their gradients added up.
    passes = 4 if is_training else 1
    gathered = passes * HALF * held * (1 - 1 / (fsdp * context))
    if is_training:
        gathered += 2 * 4 * stored * (1 - 1 / data)
    ulysses = math.gcd(context, config.heads // tensor)
    ring = context // ulysses
    traded = 4 * HALF * wide / tensor * (1 - 1 / ulysses)
    passed = 2 * HALF * wide * ulysses / tensor * (ring - 1) / max(ulysses, 1)
    summed = 2 * 2 * 4 * wide * (1 - 1 / tensor)
    repeats = 3 if is_training else 1
    sent = gathered + config.depth * repeats * (traded + passed + summed)
    links = sent * machine.chip.devices / machine.chip.link_rate
    return Choice(
        mesh=MeshConfig(**shape),
        remat=policy or "none",
        bytes=memory,
        seconds=max(compute, links),
        sent=sent,
    )


def parameters(config: DiTConfig) -> int:
    """How many a transformer has."""
    module = nnx.eval_shape(lambda: DiT(config, rngs=nnx.Rngs(0)))
    return sum(x.size for x in jax.tree.leaves(nnx.state(module)))


def ranked(found: list[Choice], machine: Machine) -> list[Choice]:
    """Those that may fit, the fastest first; then the others, the smallest first."""
    room = machine.chip.hbm_bytes / machine.chip.devices
    fitting = [one for one in found if one.bytes <= room]
    others = [one for one in found if one.bytes > room]
    return sorted(fitting, key=lambda one: (one.seconds, one.sent, one.bytes)) + sorted(
        others, key=lambda one: one.bytes
    )

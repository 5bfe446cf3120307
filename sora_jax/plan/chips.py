"""Nominal figures of chips, and topologies that XLA can compile for."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from jax.experimental import topologies

from sora_jax.training.flops import PEAKS


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
    """A chip's nominal figures.

    Attributes:
      flops: FLOP/s in bfloat16.
      hbm_bytes: memory available to programs, by the compiler.
      hbm_rate: bytes/s.
      link_rate: bytes/s that a chip sends to its neighbours, over all links.
      network_rate: its share of the bytes/s that its host sends to other slices.
      matrix_side: rows and columns of its matrix unit.
      devices: number of JAX devices per chip.
    """

    flops: float
    hbm_bytes: float
    hbm_rate: float
    link_rate: float
    network_rate: float
    matrix_side: int
    devices: int = 1


GIB = 2**30
# Nominal figures per chip, from Google's documentation; memory as the compiler reports.
CHIPS = {
    "v4": Chip(
        flops=PEAKS["TPU v4"],
        hbm_bytes=31.25 * GIB,
        hbm_rate=1228e9,
        link_rate=300e9,
        network_rate=6.25e9,
        matrix_side=128,
    ),
    "v5e": Chip(
        flops=PEAKS["TPU v5 lite"],
        hbm_bytes=15.75 * GIB,
        hbm_rate=819e9,
        link_rate=200e9,
        network_rate=3.125e9,
        matrix_side=128,
    ),
    "v5p": Chip(
        flops=PEAKS["TPU v5"],
        hbm_bytes=95.73 * GIB,
        hbm_rate=2765e9,
        link_rate=600e9,
        network_rate=6.25e9,
        matrix_side=128,
    ),
    "v6e": Chip(
        flops=PEAKS["TPU v6"],
        hbm_bytes=31.24 * GIB,
        hbm_rate=1640e9,
        link_rate=448e9,
        network_rate=12.5e9,
        matrix_side=256,
    ),
    "tpu7x": Chip(
        flops=PEAKS["TPU7x"],
        hbm_bytes=2 * 94.75 * GIB,
        hbm_rate=7380e9,
        link_rate=1200e9,
        network_rate=12.5e9,
        matrix_side=256,
        devices=2,
    ),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine:
    """Chips in a topology, as abstract devices.

    Attributes:
      name: such as "v5e:4x4".
      chip: its kind of chip.
      chips: number of chips.
      devices: abstract devices to compile for.
    """

    name: str
    chip: Chip
    chips: int
    devices: list[Any]


def machine(name: str, slices: int = 1) -> Machine:
    """Describe a topology, such as "v6e:16x16".

    Args:
      name: kind and shape.
      slices: number of slices joined by a data-centre network.

    Raises:
      ValueError: the topology is unknown.
    """
    kind, colon, shape = name.partition(":")
    if kind not in CHIPS or not colon or not re.fullmatch(r"\d+(x\d+)+", shape):
        raise ValueError(
            f"--topology must be KIND:SHAPE with a kind among {', '.join(CHIPS)}, such "
            f"as v6e:2x4 or v5p:4x4x4, got {name!r}"
        )
    options: dict[str, Any] = {"num_slices": slices} if slices > 1 else {}
    if set(shape.split("x")) == {"1"}:  # hosts are of several chips by default
        options["chips_per_host_bounds"] = (1, 1, 1)
    try:
        found = topologies.get_topology_desc(
            platform="tpu", topology_name=name, **options
        )
    except Exception as error:  # the compiler raises its own type
        missing = "libtpu" in str(error) or "not installed" in str(error)
        if missing or "NotFound" in type(error).__name__:
            raise ValueError(
                "libtpu compiles plans, and is missing: pip install 'sora_jax[tpu]'"
            ) from error
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"--topology {name!r} is unknown to XLA ({reason}): see "
            "https://cloud.google.com/tpu/docs for the shapes of each kind"
        ) from error
    chip, devices = CHIPS[kind], list(found.devices)
    name = f"{slices} x {name}" if slices > 1 else name
    return Machine(
        name=name, chip=chip, chips=len(devices) // chip.devices, devices=devices
    )

"""Export weights to diffusers' layout: `python -m sora_jax.weights.export`.

Only models that Wan's classes can express.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import safetensors.numpy
from etils import epath

from sora_jax import cli
from sora_jax.families import WAN
from sora_jax.families.family import Layout
from sora_jax.families.table import Entry
from sora_jax.files import located
from sora_jax.weights import folders, transfer
from sora_jax.weights.bundle import ASSETS
from sora_jax.weights.model_weights import Weights
from sora_jax.weights.modules import flatten, parameters
from sora_jax.workdir import write_bytes, write_json

SHARD_BYTES = 2 * 2**30
# The family whose tables are used, and its layout with an exporter.
FAMILY, LAYOUT = WAN, WAN.layouts[0]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Write weights for diffusers."""

    # The folder to write; it must be empty or not exist.
    out: str
    # A folder of weights; by default those shipped with the package.
    weights: str | None = None


def export(out: str, weights: Weights, layout: Layout = LAYOUT) -> None:
    """Write a folder; the layout's index comes last.

    Raises:
      ValueError: the folder is not empty, or the layout cannot express the model; names
        every field.
    """
    where = located(out, "--out")
    if where.exists() and any(where.iterdir()):
        raise ValueError(f"--out {out!r} is not empty: give another folder")
    config, exporter = weights.config, layout.exporter
    assert exporter is not None, layout.name
    if problems := exporter.problems(config):
        raise ValueError(
            f"the model {config.name} cannot be exported:\n" + "\n".join(problems)
        )
    files = dict(exporter.files(config, weights.tokenizer))
    last = {name: files.pop(name) for name in (layout.index,) if name in files}
    write_files(where, files)
    for name, spec in FAMILY.networks.items():
        if name in weights.networks.loaders and spec.table is not None:
            folder, begins = exporter.networks[name]
            module = weights.networks[name]
            table = spec.table(spec.sizes(config), layout.name)
            values = flatten(parameters(module))
            write_tensors(where / folder, begins, table, values, values)
            write_json(where / folder / "config.json", exporter.network_json(module))
    write_files(where, last)


def write_files(where: epath.Path, files: Mapping[str, Any]) -> None:
    """Write contents by path: bytes unchanged, others as JSON."""
    for name, content in files.items():
        write = write_bytes if isinstance(content, bytes) else write_json
        write(where / name, content)


def write_tensors(
    where: epath.Path,
    begins: str,
    table: Sequence[Entry],
    shapes: Mapping[str, Any],
    values: Mapping[str, Any],
) -> None:
    """Write tensors to one or more shards, then an index.

    Args:
      where: the folder.
      begins: prefix of the file names.
      table: the tensors.
      shapes: shape and dtype of the parameters by path.
      values: the parameters by path; each is read when its shard is written.
    """
    groups = shards_of(table, shapes, SHARD_BYTES)
    count, total, listed = len(groups), 0, {}
    for i, group in enumerate(groups, start=1):
        part = f"-{i:05}-of-{count:05}" if count > 1 else ""
        tensors = dict(transfer.export_tensors(group, values))
        content = safetensors.numpy.save(tensors, metadata={"format": "pt"})
        write_bytes(where / f"{begins}{part}.safetensors", content)
        listed |= dict.fromkeys(tensors, f"{begins}{part}.safetensors")
        total += sum(tensor.nbytes for tensor in tensors.values())
    if count > 1:
        index = {"metadata": {"total_size": total}, "weight_map": listed}
        write_json(where / f"{begins}.safetensors.index.json", index)


def shards_of(
    table: Sequence[Entry], shapes: Mapping[str, Any], most: int
) -> list[list[Entry]]:
    """Split a table into shards of at most `most` bytes."""
    groups: list[list[Entry]] = [[]]
    room = most
    # Keep the tensors of one parameter together, since it is fetched once.
    for entry in sorted(table, key=lambda entry: entry.path):
        parameter = shapes[entry.path]
        stored = entry.file_shape(parameter.shape)
        size = math.prod(stored) * parameter.dtype.itemsize
        if size > room and groups[-1]:
            groups.append([])
            room = most
        groups[-1].append(entry)
        room -= size
    return groups


def main(argv: Sequence[str]) -> None:
    """Load weights, export them, and print where."""
    arguments = cli.parse(ExportOptions, argv)
    located(arguments.out, "--out")
    folder = located(arguments.weights or ASSETS, "--weights")
    weights = folders.load_weights(folder, exact=True)
    export(arguments.out, weights)
    cli.say(arguments.out)


if __name__ == "__main__":
    with cli.exit_with_message(
        "stopped; --out is not whole without its model_index.json"
    ):
        main(sys.argv[1:])

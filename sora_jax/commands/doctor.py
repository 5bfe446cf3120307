"""Report versions, devices, memory, and missing optional packages."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from importlib import metadata

import jax
import psutil

import sora_jax
from sora_jax import cli, memory, runtime
from sora_jax.weights import bundle

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")
PACKAGES += ("av", "pillow", "sentencepiece", "safetensors", "tyro")
# (package, purpose, how to install it).
OPTIONAL = (
    ("libtpu", "TPUs, and plans for them", "pip install 'sora_jax[tpu]'"),
    ("gcsfs", "paths in gs://", "pip install gcsfs"),
    ("s3fs", "paths in s3://", "pip install s3fs"),
    ("apache_beam", "building large datasets", "pip install 'sora_jax[beam]'"),
    ("scenedetect", "curation of clips", "pip install 'sora_jax[curation]'"),
    ("tensorboard", "curves of a training", "pip install tensorboard"),
    ("nbclient", "the notebooks' test", "pip install 'sora_jax[notebooks]'"),
    ("diffusers", "parity with Wan's reference", "pip install 'sora_jax[parity]'"),
)


def main(argv: Sequence[str]) -> None:
    """Print a report.

    Raises:
      ValueError: there are arguments, or the shipped weights are damaged.
    """
    if argv:
        raise ValueError(f"doctor takes no arguments, got {list(argv)}")
    for line in report_lines():
        cli.say(line)
    bundle.load()  # checks their hashes
    cli.say("default weights: whole")


def report_lines() -> Iterator[str]:
    """Yield the lines of a report on installation and machine."""
    yield f"sora_jax {sora_jax.__version__}, {os.path.dirname(sora_jax.__file__)}"
    yield f"Python {platform.python_version()}, {platform.platform()}"
    yield ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    devices = jax.devices()
    kinds = {device.device_kind for device in devices}
    room = memory.gib(memory.available())
    yield f"devices: {len(devices)} of {', '.join(kinds)}, {room} free on each"
    host = memory.gib(memory.of_host())
    yield f"host: {psutil.cpu_count()} cores, {host} of memory free"
    folder = runtime.cache_folder()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    free = memory.gib(shutil.disk_usage(folder.parent if folder.exists() else ".").free)
    yield f"compiled programs: {memory.gib(size)} in {folder}, {free} free there"
    for package, purpose, remedy in OPTIONAL:
        if importlib.util.find_spec(package) is None:
            yield f"not installed: {package}, for {purpose} ({remedy})"

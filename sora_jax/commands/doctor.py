"""Report versions, devices, memory, and missing optional packages."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from importlib import metadata

import jax
import numpy as np
import psutil

import sora_jax
from sora_jax import cli, memory, runtime
from sora_jax.types import Condition
from sora_jax.weights import bundle, checkup
from sora_jax.worlds.playground import world

# A hundred texts that every tokenizer of ours and of Wan's spells.
TEXTS = [
    f"a {size} {colour} {shape}"
    for size in world.DIAMETERS
    for colour in world.COLOURS
    for shape in world.SHAPES
][:100]
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class DoctorOptions:
    """Flags of the program."""

    # A folder of weights to check: every tensor, the tokenizer and one step. By default
    # the report is on the installation, and on the weights that ship with it.
    weights: str = ""


def main(argv: Sequence[str]) -> None:
    """Report versions, devices and memory, or check a folder of weights.

    Raises:
      ValueError: the weights are damaged, or not what their configs say.
    """
    options = cli.parse(DoctorOptions, argv, about=main.__doc__)
    if options.weights:
        for line in weights_lines(options.weights):
            cli.say(line)
        return
    for line in report_lines():
        cli.say(line)
    bundle.load()  # checks their hashes
    cli.say("default weights: whole")


def weights_lines(folder: str) -> Iterator[str]:
    """Check a folder of weights, and yield a line for each thing found well."""
    yield from checkup.stored_lines(folder)
    yield checkup.check_tokenizer(folder, TEXTS)
    yield from checkup.tensor_lines(folder)
    model = sora_jax.load(folder)
    vae, patch = model.config.vae, model.config.dit.patch
    shape = (1 + vae.time_factor, *(4 * vae.space_factor * side for side in patch[1:]))
    asked = {"frames": shape[0], "window": shape[0], "size": shape[1:], "steps": 1}
    given = {}
    if model.config.chunks is not None:
        del asked["window"]  # a chunk is what is sampled at once
    if model.config.keyframes:
        mask = np.zeros(shape, np.float32)
        mask[list(model.config.keyframes[0])] = 1
        given["condition"] = Condition(pixels=np.zeros((*shape, 3)), mask=mask)
    yield checkup.check_finite(model.generate(TEXTS[0], **asked, **given))


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

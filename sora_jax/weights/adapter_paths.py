"""Names of adapters on the command line: FILE or FILE:SCALE. Needs no JAX."""

from __future__ import annotations

import os
from typing import NamedTuple

from etils import epath

from sora_jax import files
from sora_jax.files import PathLike

PEFT_CONFIG = "adapter_config.json"  # in a folder in PEFT's form
TRAINED = "adapter.safetensors"  # in the workdir of a fine-tuning
LARGEST = 100.0  # scale


class Lora(NamedTuple):
    """An adapter, and how much it counts: 1 as trained."""

    path: str
    scale: float = 1.0


def parse_lora(text: str, field: str = "--lora") -> Lora:
    """Parse "PATH" or "PATH:SCALE"; the path may be the workdir of a fine-tuning.

    Raises:
      ValueError: nothing is there, or the scale is not a positive number.
    """
    path, _, last = text.rpartition(":")
    found = Lora(text)
    try:
        found = Lora(path, float(last)) if path else found
    except ValueError:
        pass  # a colon of the path
    if not 0 < found.scale <= LARGEST:
        raise ValueError(
            f"{field} PATH:SCALE must have a scale above 0 and at most {LARGEST:g}, "
            f"got {files.quoted(text)}"
        )
    if is_peft_folder(found.path):
        return found
    trained = epath.Path(found.path) / TRAINED
    if trained.exists():
        found = found._replace(path=os.fspath(trained))
    files.existing(found.path, field)
    return found


def is_peft_folder(path: PathLike) -> bool:
    """Return whether a path is a folder in PEFT's form."""
    return (epath.Path(os.fspath(path)) / PEFT_CONFIG).exists()

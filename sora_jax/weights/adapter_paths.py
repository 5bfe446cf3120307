"""Names of adapters on the command line: FILE, FILE:SCALE, high:FILE. Needs no JAX."""

from __future__ import annotations

import os
from typing import NamedTuple

from etils import epath

from sora_jax import files
from sora_jax.files import PathLike

PEFT_CONFIG = "adapter_config.json"  # in a folder in PEFT's form
PEFT_TENSORS = "adapter_model.safetensors"
TRAINED = "adapter.safetensors"  # in the workdir of a fine-tuning
DIFFUSERS = "pytorch_lora_weights.safetensors"  # in a folder that diffusers wrote
LARGEST = 100.0  # scale
# Of models with two transformers: at the noise levels above a boundary, and below it.
TRANSFORMERS = ("high", "low")


class Lora(NamedTuple):
    """An adapter, and how much it counts: 1 as trained."""

    path: str
    scale: float = 1.0
    # One of TRANSFORMERS; "" where the model has one, or the file says which.
    transformer: str = ""


def parse_lora(text: str, field: str = "--lora") -> Lora:
    """Parse "PATH" or "PATH:SCALE", perhaps behind "high:" or "low:".

    The path may be the workdir of a fine-tuning, or a folder of PEFT or diffusers.

    Raises:
      ValueError: nothing is there, or the scale is not a positive number.
    """
    transformer, _, rest = text.partition(":")
    if transformer not in TRANSFORMERS:
        transformer, rest = "", text
    path, _, last = rest.rpartition(":")
    found = Lora(rest)
    try:
        found = Lora(path, float(last)) if path else found
    except ValueError:
        pass  # a colon of the path
    if not 0 < found.scale <= LARGEST:
        raise ValueError(
            f"{field} PATH:SCALE must have a scale above 0 and at most {LARGEST:g}, "
            f"got {files.quoted(text)}"
        )
    return Lora(_file_at(found.path, field), found.scale, transformer)


def _file_at(path: str, field: str) -> str:
    """Return the path of an adapter's file, or of its folder in PEFT's form."""
    where = epath.Path(path)
    if is_peft_folder(where):
        return path
    if where.name == PEFT_TENSORS and is_peft_folder(where.parent):
        return os.fspath(where.parent)  # whose config tells the factors' scale
    for name in (TRAINED, DIFFUSERS):
        if (where / name).exists():
            return os.fspath(where / name)
    files.existing(path, field)
    return path


def is_peft_folder(path: PathLike) -> bool:
    """Return whether a path is a folder in PEFT's form."""
    return (epath.Path(os.fspath(path)) / PEFT_CONFIG).exists()

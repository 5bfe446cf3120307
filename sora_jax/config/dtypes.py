"""Dtypes in configs: "auto" on a platform, and 8 bits in memory."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, TypeVar

C = TypeVar("C")
# How the linear maps of the layers are kept in memory.
Quantization = Literal["none", "int8", "fp8"]


def resolve_dtypes(config: C, platform: str) -> C:
    """Return a config, and those within it, with a platform's dtypes for "auto".

    Programs do so once, where they know the platform; networks are built of the result.

    Args:
      config: a dataclass.
      platform: "cpu", "gpu" or "tpu".
    """
    changed: dict[str, Any] = {}
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            changed[field.name] = resolve_dtypes(value, platform)
        elif field.name == "dtype" and value == "auto":
            changed[field.name] = "float32" if platform == "cpu" else "bfloat16"
    return dataclasses.replace(config, **changed)  # type: ignore[type-var]

"""What PEFT's config says of an adapter: its kind, and how much its factors count.

It is the file adapter_config.json, or stands in the metadata of a file of diffusers.
"""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec

from sora_jax import files, limits
from sora_jax.files import PathLike

SHOWN = 8  # alphas in an error
METADATA = "lora_adapter_metadata"  # diffusers' key
_PREFIX = re.compile(r"^transformer(_2)?\.")
# An exact name, or its end; other patterns would be untrusted regular expressions.
_PLAIN = re.compile(r"\^?[\w.\\]+\$?")


class LoraSettings(msgspec.Struct):
    """The fields of PEFT's config that matter here."""

    r: int
    lora_alpha: float
    peft_type: str = "LORA"
    use_dora: bool = False
    use_rslora: bool = False
    bias: str = "none"
    fan_in_fan_out: bool = False
    init_lora_weights: Any = True
    alpha_pattern: dict[str, float] = {}

    def scale(self, module: str, rank: int) -> float:
        """Return how much the product of a module's factors counts."""
        alpha = self.lora_alpha
        for pattern, other in self.alpha_pattern.items():
            name = pattern.strip("^$").replace("\\", "")
            if module == name or module.endswith(f".{name}"):
                alpha = other
                break
        return alpha / (math.sqrt(rank) if self.use_rslora else rank)

    def check(self, path: PathLike) -> None:
        """Refuse what is not plain LoRA.

        Raises:
          ValueError: names every field that says so.
        """
        problems = [
            f"{name} {files.quoted(getattr(self, name))}"
            for name, wanted in (
                ("peft_type", "LORA"),
                ("use_dora", False),
                ("bias", "none"),
                ("fan_in_fan_out", False),
            )
            if getattr(self, name) != wanted
        ]
        # Others, such as PiSSA, change the kernels as well.
        if self.init_lora_weights not in (True, False, None, "gaussian"):
            problems.append(f"init_lora_weights {files.quoted(self.init_lora_weights)}")
        alphas = (self.lora_alpha, *self.alpha_pattern.values())
        if self.r < 1 or not all(0 < alpha < math.inf for alpha in alphas):
            told = ", ".join(f"{alpha:g}" for alpha in alphas[:SHOWN])
            problems.append(f"r {self.r}, alpha {told}")
        if len(self.alpha_pattern) > limits.PATTERNS or not all(
            map(_PLAIN.fullmatch, self.alpha_pattern)
        ):
            problems.append(f"alpha_pattern {files.quoted(self.alpha_pattern)}")
        if problems:
            raise ValueError(
                f"adapter {str(path)!r} must be plain LoRA, got {', '.join(problems)}: "
                "merge it into its weights with PEFT first"
            )


def from_metadata(path: PathLike, metadata: dict[str, str]) -> LoraSettings | None:
    """Read the config in the metadata of a file, if there is one.

    Raises:
      ValueError: it is damaged, or not of plain LoRA.
    """
    text = metadata.get(METADATA)
    if text is None:
        return None
    try:
        said = files.decode_json(text, dict[str, Any])
        said = {_PREFIX.sub("", name): value for name, value in said.items()}
        settings = files.decode_json(msgspec.json.encode(said), LoraSettings)
    except ValueError as error:
        raise ValueError(
            f"adapter {str(path)!r}: its metadata {METADATA!r}: {error}: download the "
            "file again"
        ) from error
    settings.check(path)
    return settings

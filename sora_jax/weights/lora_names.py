"""The names of tensors in LoRA files: a prefix, a module, and a part of its change.

Each program names them in its own way, but all modules have a name of one of the
published layouts. docs/wan.md lists which program writes which.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sora_jax.families.table import Entry

SECOND = "transformer_2."
# What stands before a module's name; each is dropped once, in this order.
PREFIXES = (
    "base_model.model.",  # PEFT
    "model.diffusion_model.",
    "diffusion_model.",  # ComfyUI, ai-toolkit, lightx2v
    "pipe.dit.",  # DiffSynth, as well as none
    SECOND,
    "transformer.",  # diffusers
    "lora_unet_",  # kohya, musubi-tuner: with underscores in the place of dots
)
# The end of a tensor's name, and the part that it is.
PARTS = {
    "lora_A.weight": "down",
    "lora_A.default.weight": "down",
    "lora_down.weight": "down",
    "lora_B.weight": "up",
    "lora_B.default.weight": "up",
    "lora_up.weight": "up",
    "lora_B.bias": "up_bias",
    "lora_B.default.bias": "up_bias",
    "alpha": "alpha",
    "diff": "diff",
    "diff_b": "diff_b",
    "diff_m": "diff_m",
}
FACTORS = ("down", "up", "alpha")
# The ends of the published tensor that a part changes.
CHANGED = {
    "down": (".weight",),
    "up": (".weight",),
    "alpha": (".weight",),
    "up_bias": (".bias",),
    "diff": (".weight",),
    "diff_b": (".bias",),
    "diff_m": (".modulation", ".scale_shift_table"),
}
# Parts of changes that are more than factors.
OTHER_KINDS = {
    ".dora_scale": "DoRA",
    ".lora_magnitude_vector": "DoRA",
    ".hada_": "LoHa",
    ".lokr_": "LoKr",
    ".oft_": "OFT",
    ".lora_mid": "LoCon with a third factor",
}


class Named(NamedTuple):
    """What a tensor's name says."""

    module: str  # without prefix, perhaps with underscores
    part: str  # of PARTS
    is_second: bool = False  # whether it is said to be for the second transformer


def parse(name: str) -> Named | None:
    """Return what a tensor's name says; None if it is no part of a LoRA."""
    module = name
    for prefix in PREFIXES:
        module = module.removeprefix(prefix)
    for end, part in PARTS.items():
        if module.endswith(f".{end}"):
            return Named(module[: -len(end) - 1], part, name.startswith(SECOND))
    return None


def other_kind(name: str) -> str | None:
    """Return the kind of adapter that a tensor's name tells, if it is not LoRA."""
    return next((kind for key, kind in OTHER_KINDS.items() if key in name), None)


class Names:
    """The tensors of a network by all their published names.

    Attributes:
      entries: by the names of all layouts.
    """

    def __init__(self, entries: Iterable[Entry]):
        self.entries: Mapping[str, Entry] = {entry.name: entry for entry in entries}
        modules = {name.rpartition(".")[0] for name in self.entries}
        self._modules = {name.replace(".", "_"): name for name in modules}
        self._modules |= {name: name for name in modules}

    def find(self, module: str, part: str) -> Entry | None:
        """Return the tensor that a part of a module's change belongs to."""
        known = self._modules.get(module)
        names = (f"{known}{end}" for end in CHANGED[part])
        found = next(
            (self.entries[name] for name in names if name in self.entries), None
        )
        if found and part in FACTORS and not found.path.endswith("/kernel"):
            return None  # the scale of a norm has no factors
        return found

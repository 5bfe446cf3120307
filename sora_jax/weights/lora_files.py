"""Open LoRA files of any program: find and check their tensors by headers alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from etils import epath

from sora_jax.families.table import Entry
from sora_jax.files import PathLike
from sora_jax.weights.headers import StoredTensor, read_metadata, tensors_in
from sora_jax.weights.lora_checks import problems_of
from sora_jax.weights.lora_names import Named, other_kind, parse
from sora_jax.weights.lora_settings import LoraSettings, from_metadata
from sora_jax.weights.lora_target import Part, Parts, Target
from sora_jax.weights.tensor_checks import listed


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoraFile:
    """A file whose tensors all have a place in its target."""

    path: epath.Path
    target: Target
    settings: LoraSettings | None
    modules: Parts

    def entry(self, module: str, part: str) -> Entry:
        """Return the published tensor that a part changes."""
        found = self.target.names.find(module, part)
        assert found is not None, "open_lora checks it"
        return found

    def told_scale(self, module: str, rank: int) -> float:
        """Return how much a pair counts, unless an alpha lies beside it."""
        return 1.0 if self.settings is None else self.settings.scale(module, rank)


def open_lora(
    path: PathLike, target: Target, settings: LoraSettings | None = None
) -> LoraFile:
    """Open a file of any program for a network; reads no tensor.

    Args:
      path: the file.
      target: the network.
      settings: PEFT's config, if there is one; else that in the file's metadata, if
        any; else alpha equals the rank, where no alpha lies beside the factors.

    Raises:
      ValueError: lists all tensors that have no place in the network or do not go
        together, and what network the file looks like it is for.
    """
    where = epath.Path(path)
    stored = tensors_in(where)
    settings = settings or from_metadata(where, read_metadata(where))
    modules, problems = _sorted(stored, target)
    problems += problems_of(modules, target)
    if not problems and not any("down" in x or _deltas(x) for x in modules.values()):
        problems = ["  it has no factors"]
    if problems:
        raise ValueError(
            f"adapter {str(path)!r} does not fit the model; use it with the model "
            "that it was trained on:\n"
            + "\n".join(problems)
            + target.guess(_told(stored))
        )
    return LoraFile(path=where, target=target, settings=settings, modules=modules)


def _sorted(
    stored: Mapping[str, StoredTensor], target: Target
) -> tuple[Parts, list[str]]:
    """Sort tensors by module and part; tell those whose names say nothing."""
    named: dict[str, Named | None] = {name: parse(name) for name in stored}
    seconds = {said.is_second for said in named.values() if said is not None}
    modules: Parts = {}
    strange, twice, others = [], [], []
    for name, said in named.items():
        if kind := other_kind(name):
            others.append(f"{name} ({kind}): merge it with the program that wrote it")
        elif said is None or target.names.find(said.module, said.part) is None:
            strange.append(name)
        elif len(seconds) == 2 and said.is_second != target.is_second:
            continue
        elif said.part in modules.setdefault(said.module, {}):
            twice.append(f"{name} and {modules[said.module][said.part].name}")
        else:
            modules[said.module][said.part] = Part(name, stored[name])
    return modules, [
        *listed("of kinds that are not read", others),
        *listed("not of this model", strange),
        *listed("the same part twice", twice),
    ]


def _deltas(parts: Mapping[str, Part]) -> bool:
    return any(part.startswith("diff") for part in parts)


def _told(stored: Mapping[str, StoredTensor]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of first factors by module, to guess their model from."""
    named = {name: parse(name) for name in stored}
    return {
        said.module: stored[name].shape
        for name, said in named.items()
        if said is not None and said.part == "down"
    }
